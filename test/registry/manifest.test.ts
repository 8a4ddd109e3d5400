import { describe, expect, it } from 'vitest';
import { sha256 } from '../../digest/index.ts';
import {
  artifactManifest,
  canonicalJson,
  childrenOf,
  type Descriptor,
  EMPTY_CONFIG,
  imageConfig,
  imageIndex,
  imageManifest,
  MEDIA,
  parseImageConfig,
  parseManifest,
  type Store,
  treeOf,
} from '../../registry/index.ts';
import { bytesOf } from './image.ts';

const code = (name: string) => expect.objectContaining({ code: name });
const descriptor = (text: string, mediaType: string = MEDIA.layer): Descriptor => ({
  mediaType,
  digest: sha256(text),
  size: text.length,
});
const json = (value: unknown) => Buffer.from(JSON.stringify(value));

describe('what is written', () => {
  it('is the same bytes for the same content, whatever the order it was said in', () => {
    const one = imageManifest({
      config: descriptor('c', MEDIA.config),
      layers: [descriptor('l')],
      annotations: { b: '1', a: '2' },
    });
    const two = imageManifest({
      layers: [descriptor('l')],
      annotations: { a: '2', b: '1' },
      config: descriptor('c', MEDIA.config),
    });
    expect(Buffer.from(one.bytes).equals(Buffer.from(two.bytes))).toBe(true);
    expect(Buffer.from(canonicalJson({ b: [{ d: 1, c: undefined }], a: null })).toString()).toBe(
      '{"a":null,"b":[{"d":1}]}',
    );
  });

  it('has the digests that other tools give it', () => {
    // echo -n '{}' | sha256sum
    expect(EMPTY_CONFIG.descriptor).toEqual({
      mediaType: 'application/vnd.oci.empty.v1+json',
      digest: 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
      size: 2,
    });
  });

  it('is an artifact as the image-spec has it', () => {
    const subject = { ...descriptor('s', MEDIA.manifest), annotations: { left: 'out' } };
    const parsed = JSON.parse(
      Buffer.from(artifactManifest({ artifactType: 'x/y', subject }).bytes).toString(),
    ) as object;
    expect(parsed).toEqual({
      schemaVersion: 2,
      mediaType: MEDIA.manifest,
      artifactType: 'x/y',
      config: EMPTY_CONFIG.descriptor,
      layers: [EMPTY_CONFIG.descriptor],
      subject: descriptor('s', MEDIA.manifest),
    });
  });

  it('reads back', () => {
    const manifest = imageManifest({ config: descriptor('c', MEDIA.config), layers: [descriptor('l')] });
    expect(parseManifest(manifest.bytes, MEDIA.manifest, 'x')).toMatchObject({
      kind: 'image',
      layers: [descriptor('l')],
    });
    const index = imageIndex({
      manifests: [{ ...manifest.descriptor, platform: { os: 'linux', architecture: 'arm64' } }],
    });
    expect(parseManifest(index.bytes, undefined, 'x')).toMatchObject({
      kind: 'index',
      manifests: [{ platform: { architecture: 'arm64' } }],
    });
    const config = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers' as const, diff_ids: [sha256('x')] } };
    expect(parseImageConfig(imageConfig(config).bytes, 'x')).toEqual(config);
  });
});

describe('what is read', () => {
  const config = descriptor('c', 'application/vnd.docker.container.image.v1+json');

  it("is Docker's too", () => {
    const manifest = {
      schemaVersion: 2,
      mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
      config,
      layers: [descriptor('l', 'application/vnd.docker.image.rootfs.diff.tar.gzip')],
    };
    expect(parseManifest(json(manifest), manifest.mediaType, 'x')).toMatchObject({ kind: 'image' });
    const list = {
      schemaVersion: 2,
      mediaType: 'application/vnd.docker.distribution.manifest.list.v2+json',
      manifests: [],
    };
    expect(parseManifest(json(list), list.mediaType, 'x')).toMatchObject({ kind: 'index' });
    expect(
      parseImageConfig(
        json({
          architecture: 'amd64',
          os: 'linux',
          config: { Entrypoint: null, Env: ['A=b'] },
          rootfs: { type: 'layers', diff_ids: [] },
        }),
        'x',
      ).config?.Entrypoint,
    ).toBeNull();
  });

  it.each<[string, unknown, string | undefined]>([
    ['both an image and an index', { schemaVersion: 2, manifests: [], config, layers: [] }, undefined],
    ['another type than announced', { schemaVersion: 2, mediaType: MEDIA.manifest, config, layers: [] }, MEDIA.index],
    ['an index by type only', { schemaVersion: 2, config, layers: [] }, MEDIA.index],
    ['an image by type only', { schemaVersion: 2, manifests: [] }, MEDIA.manifest],
    [
      'schema 1',
      { schemaVersion: 1, mediaType: 'application/vnd.docker.distribution.manifest.v1+json', fsLayers: [] },
      undefined,
    ],
    ['a digest that is weak', { schemaVersion: 2, config: { ...config, digest: 'sha1:00' }, layers: [] }, undefined],
    [
      'a digest that is a path',
      { schemaVersion: 2, config: { ...config, digest: 'sha256:../../etc/passwd' }, layers: [] },
      undefined,
    ],
    ['a negative size', { schemaVersion: 2, config: { ...config, size: -1 }, layers: [] }, undefined],
    ['a size beyond numbers', { schemaVersion: 2, config: { ...config, size: 1e300 }, layers: [] }, undefined],
    ['a type that is none', { schemaVersion: 2, config: { ...config, mediaType: 'x\r\ny: z' }, layers: [] }, undefined],
    ['nothing', null, undefined],
    ['a list', [], undefined],
  ])('is never %s', (_, value, type) => {
    expect(() => parseManifest(json(value), type, 'x')).toThrow(code('manifest-invalid'));
  });

  it('is never in another encoding', () => {
    expect(() => parseManifest(Buffer.from('{"schemaVersion":2,"manifests":[]}', 'utf16le'), undefined, 'x')).toThrow(
      code('manifest-invalid'),
    );
    expect(() => parseManifest(Buffer.from([0x22, 0xff, 0x22]), undefined, 'x')).toThrow(code('manifest-invalid'));
  });

  it('leaves out layers that are not to be had here', () => {
    const layers = [descriptor('a'), descriptor('b', 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip')];
    const manifest = parseManifest(json({ schemaVersion: 2, config, layers }), MEDIA.manifest, 'x');
    expect(childrenOf(manifest)).toEqual([config, layers[0]]);
  });
});

describe('treeOf', () => {
  it('ends on a chain of indexes and on too many of them', async () => {
    const documents = new Map<string, Uint8Array>();
    const store: Pick<Store, 'name' | 'read'> = { name: 'x', read: ({ digest }) => bytesOf(documents.get(digest)!) };
    const add = (manifests: readonly Descriptor[]) => {
      const index = imageIndex({ manifests, annotations: { n: String(documents.size) } });
      documents.set(index.descriptor.digest, index.bytes);
      return index.descriptor;
    };
    let chain = add([]);
    for (let depth = 0; depth < 10; depth++) chain = add([chain]);
    await expect(treeOf(store, chain)).rejects.toThrow(code('manifest-too-deep'));
    const wide = add(Array.from({ length: 3000 }, () => add([])));
    await expect(treeOf(store, wide)).rejects.toThrow(code('manifest-too-deep'));
  });
});
