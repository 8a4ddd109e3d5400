import { hexOf } from '../digest/index.ts';
import { McpBuildError } from '../errors/index.ts';
import type { Store } from '../registry/index.ts';
import type { RunImage } from './image.ts';

const BLOCK = 512;

/**
 * One tar that is both an OCI layout and what `docker save` writes: daemons before 25 read only the second, those with containerd's store
 * prefer the first (image-layout.md; moby's image/tarexport).
 * @param tag how the image is listed by `docker images`; nothing is ever started by it
 * @param omit positions of layers that the daemon already has. It looks a layer up before it opens its file.
 */
export async function* imageArchive(
  store: Store,
  image: RunImage,
  tag: string,
  omit: ReadonlySet<number> = new Set(),
): AsyncGenerator<Uint8Array> {
  const blob = (digest: RunImage['manifest']['digest']) => `blobs/sha256/${hexOf(digest)}`;
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));
  const written = new Set<string>();
  yield* file('oci-layout', json({ imageLayoutVersion: '1.0.0' }));
  yield* file(
    'index.json',
    json({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [
        {
          ...image.manifest,
          annotations: { 'io.containerd.image.name': tag, 'org.opencontainers.image.ref.name': tag.split(':').at(-1) },
        },
      ],
    }),
  );
  yield* file(
    'manifest.json',
    json([
      { Config: blob(image.config.digest), RepoTags: [tag], Layers: image.layers.map(({ digest }) => blob(digest)) },
    ]),
  );
  yield* file(blob(image.manifest.digest), image.documents.manifest);
  yield* file(blob(image.config.digest), image.documents.config);
  for (const [position, layer] of image.layers.entries()) {
    const name = blob(layer.digest);
    if (omit.has(position) || written.has(name)) continue;
    written.add(name);
    yield header(name, layer.size);
    let size = 0;
    for await (const chunk of store.read(layer)) {
      size += chunk.length;
      yield chunk;
    }
    if (size !== layer.size) throw new Error(`${layer.digest}: ${size} bytes came instead of ${layer.size}`);
    yield padding(layer.size);
  }
  yield Buffer.alloc(2 * BLOCK);
}

function* file(name: string, content: Uint8Array): Generator<Uint8Array> {
  yield header(name, content.length);
  yield content;
  yield padding(content.length);
}

function padding(size: number): Uint8Array {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}

/** POSIX ustar, the few fields that matter here; names are ours and short. */
function header(name: string, size: number): Uint8Array {
  if (size >= 8 ** 11) {
    throw new McpBuildError({
      code: 'image-invalid',
      message: `${name} has ${size} bytes, more than a container engine can be given`,
      input: name,
      fix: 'Split the layer.',
    });
  }
  const block = Buffer.alloc(BLOCK);
  block.write(name, 0, 100, 'utf8');
  block.write('0000644\0', 100, 'latin1');
  block.write('0000000\0', 108, 'latin1');
  block.write('0000000\0', 116, 'latin1');
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
  block.write('00000000000\0', 136, 'latin1');
  block.write('        ', 148, 'latin1');
  block.write('0', 156, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
