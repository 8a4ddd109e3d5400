import { gzipSync } from 'node:zlib';
import { sha256 } from '../../digest/index.ts';
import {
  type Descriptor,
  documentOf,
  imageConfig,
  imageIndex,
  imageManifest,
  MEDIA,
  type Store,
} from '../../registry/index.ts';

export interface TestImage {
  readonly index: Descriptor;
  readonly platforms: readonly Descriptor[];
  readonly configs: readonly Descriptor[];
  readonly layers: readonly Descriptor[];
}

export async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** An index over two platforms, each with a layer of its own; `text` makes it another image. */
export async function writeImage(store: Store, text = 'hello'): Promise<TestImage> {
  const platforms: Descriptor[] = [];
  const configs: Descriptor[] = [];
  const layers: Descriptor[] = [];
  for (const architecture of ['amd64', 'arm64']) {
    const tar = Buffer.alloc(1024, `${text} ${architecture} `);
    const gzip = gzipSync(tar);
    const layer = { mediaType: MEDIA.layer, digest: sha256(gzip), size: gzip.length };
    const config = imageConfig({ architecture, os: 'linux', rootfs: { type: 'layers', diff_ids: [sha256(tar)] } });
    await store.write(layer, one(gzip));
    await store.write(config.descriptor, one(config.bytes));
    const manifest = imageManifest({ config: config.descriptor, layers: [layer] });
    const written = await store.writeManifest(manifest.bytes, MEDIA.manifest);
    platforms.push({
      ...documentOf(manifest.bytes, MEDIA.manifest).descriptor,
      platform: { os: 'linux', architecture },
    });
    configs.push(config.descriptor);
    layers.push(layer);
    if (written.digest !== platforms.at(-1)!.digest) throw new Error('the store changed a manifest');
  }
  const index = await store.writeManifest(imageIndex({ manifests: platforms }).bytes, MEDIA.index);
  return { index, platforms, configs, layers };
}
