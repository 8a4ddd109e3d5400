import { createHash, randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import {
  artifactManifest,
  type Descriptor,
  type Document,
  documentOf,
  EMPTY_CONFIG,
  imageConfig,
  imageIndex,
  imageManifest,
  MEDIA,
  type Store,
} from '../../registry/index.ts';

/** An iterable that can be read again. */
export function bytesOf(...chunks: readonly Uint8Array[]): AsyncIterable<Uint8Array> {
  return {
    async *[Symbol.asyncIterator]() {
      yield* chunks;
    },
  };
}

export async function bufferOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

export async function put(store: Store, document: Document): Promise<Descriptor> {
  await store.write(document.descriptor, bytesOf(document.bytes));
  return document.descriptor;
}

/** A layer other tools can unpack: an empty tar and some padding that makes it unique and `size` long. */
export function layerOf(size = 2048): { readonly blob: Document; readonly diffId: `sha256:${string}` } {
  const content = Math.max(512, Math.ceil(size / 512) * 512);
  const header = Buffer.alloc(512);
  header.write('payload', 0);
  header.write('0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${content.toString(8).padStart(11, '0')}\0`, 124);
  header.write('14000000000\0', 136);
  header.write('        ', 148);
  header.write('0', 156);
  header.write('ustar\u000000', 257, 'latin1');
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  const tar = Buffer.concat([header, randomBytes(content), Buffer.alloc(1024)]);
  return {
    blob: documentOf(gzipSync(tar, { level: 1 }), MEDIA.layer),
    diffId: `sha256:${createHash('sha256').update(tar).digest('hex')}`,
  };
}

/** Writes an image of one platform; without a tag. */
export async function writeImage(
  store: Store,
  sizes: readonly number[] = [2048],
  architecture = 'amd64',
): Promise<Descriptor> {
  const layers = sizes.map(layerOf);
  const config = imageConfig({
    architecture,
    os: 'linux',
    config: { User: '65532:65532', Entrypoint: ['/server'] },
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
  });
  for (const { blob } of layers) await put(store, blob);
  await put(store, config);
  const manifest = imageManifest({ config: config.descriptor, layers: layers.map((layer) => layer.blob.descriptor) });
  await store.writeManifest(manifest.bytes, MEDIA.manifest);
  return manifest.descriptor;
}

/** An index over two platforms. */
export async function writeIndex(store: Store): Promise<Descriptor> {
  const manifests = [];
  for (const architecture of ['amd64', 'arm64']) {
    manifests.push({ ...(await writeImage(store, [2048], architecture)), platform: { os: 'linux', architecture } });
  }
  const index = imageIndex({ manifests });
  await store.writeManifest(index.bytes, MEDIA.index);
  return index.descriptor;
}

/** Something said about `subject`, with a blob of its own. */
export async function writeReferrer(store: Store, subject: Descriptor, text: string): Promise<Descriptor> {
  const layer = documentOf(Buffer.from(text), 'application/vnd.dev.sigstore.bundle.v0.3+json');
  await put(store, layer);
  await put(store, EMPTY_CONFIG);
  const artifact = artifactManifest({
    artifactType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    subject,
    layers: [layer.descriptor],
    annotations: { 'org.example.text': text },
  });
  return store.writeManifest(artifact.bytes, MEDIA.manifest);
}
