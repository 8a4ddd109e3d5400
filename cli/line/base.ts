import { readTarGz } from '../../builders/archive/index.ts';
import {
  architectureOf,
  type Base,
  type BaseImage,
  type Ecosystem,
  type ImageLayer,
  type Lock,
  type Platform,
} from '../../builders/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import {
  copy,
  type Descriptor,
  type ImageManifest,
  type LayoutStore,
  openLayout,
  openRemote,
  parseImageConfig,
  parseManifest,
  parseReference,
  readDocument,
  type Store,
  treeOf,
} from '../../registry/index.ts';
import type { Environment } from './home.ts';

/**
 * Reads `--base`: an image that is named by its digest, so that it can't become another one.
 * @throws McpBuildError `base-unpinned`, `reference-invalid`
 */
export function parseBase(text: string): Base {
  const reference = parseReference(text);
  if (reference.digest && reference.kind !== 'local') {
    return { kind: 'image', reference: text.slice(0, text.lastIndexOf('@')), digest: reference.digest };
  }
  throw new McpBuildError({
    code: 'base-unpinned',
    message: `Base "${text}" is not an image of a registry or a layout, named by its digest`,
    input: text,
    fix: 'Write registry.example/base@sha256:… or oci:FOLDER@sha256:….',
    exit: 2,
  });
}

/** Brings a foreign base into the store, once, every byte checked on the way. */
export async function importBase(base: Base, store: LayoutStore, environment: Environment): Promise<void> {
  if (base.kind !== 'image') return;
  if (await isWhole(store, base)) return;
  const from = await sourceOf(base, environment);
  const root = await from.resolve(base.digest);
  await copy(from, store, root);
}

/** Where the launchers of Python servers look for their interpreter; wheels are chosen for its version. */
const PYTHON = 'usr/bin/python3.13';

/**
 * Brings a foreign base here and looks whether servers of this ecosystem can stand on it: it must have the platforms and, for Python, the
 * interpreter. Node comes as a layer of our own.
 * @throws McpBuildError `base-platform`, `base-interpreter`, `base-invalid`
 */
export async function checkBase(
  base: Base,
  ecosystem: Ecosystem,
  platforms: readonly Platform[],
  store: LayoutStore,
  environment: Environment,
): Promise<void> {
  if (base.kind !== 'image') return;
  await importBase(base, store, environment);
  const root = await store.resolve(base.digest);
  for (const platform of platforms) {
    const manifest = await platformManifest(store, root, platform, base.reference);
    if (ecosystem === 'npm' || (await holds(store, manifest, PYTHON))) continue;
    throw new McpBuildError({
      code: 'base-interpreter',
      message: `Base ${base.reference} has no /${PYTHON} for ${platform}`,
      input: base.reference,
      fix: 'Use a base with Debian’s Python 3.13, or leave out --base.',
    });
  }
}

/** The topmost layer that says something of a path decides. */
async function holds(store: LayoutStore, { layers }: ImageManifest, path: string): Promise<boolean> {
  const [folder, name] = [path.slice(0, path.lastIndexOf('/') + 1), path.slice(path.lastIndexOf('/') + 1)];
  for (const layer of layers.toReversed()) {
    let found: boolean | undefined;
    const members = readTarGz(store.read(layer), { name: `layer ${layer.digest}`, kind: 'system', repeats: 'given' });
    for await (const member of members) {
      if (member.path === path) found = true;
      else if (member.path === `${folder}.wh.${name}` || member.path === `${folder}.wh..wh..opq`) found ??= false;
    }
    if (found !== undefined) return found;
  }
  return false;
}

/** The layers and variables of the lock's foreign base on one platform; undefined where the base is our own. @throws McpBuildError `base-platform`, `base-invalid` */
export async function foreignBase(
  lock: Lock,
  platform: Platform,
  store: LayoutStore,
  environment: Environment,
): Promise<BaseImage | undefined> {
  const { base } = lock;
  if (base.kind !== 'image') return undefined;
  await importBase(base, store, environment);
  const manifest = await platformManifest(store, await store.resolve(base.digest), platform, base.reference);
  const config = parseImageConfig(await readDocument(store, manifest.config), manifest.config.digest);
  if (config.architecture !== architectureOf(platform) || config.os !== 'linux')
    throw noPlatform(base.reference, platform);
  const { diff_ids: diffIds } = config.rootfs;
  if (diffIds.length !== manifest.layers.length) {
    throw new McpBuildError({
      code: 'base-invalid',
      message: `Base ${base.reference} has ${manifest.layers.length} layers and ${diffIds.length} diffIDs`,
      input: base.reference,
      fix: 'Build or copy the base again.',
    });
  }
  const layers = manifest.layers.map(
    (layer, at): ImageLayer => ({
      diffId: diffIds[at]!,
      digest: layer.digest,
      size: layer.size,
      mediaType: layer.mediaType,
      createdBy: `base ${base.digest}`,
    }),
  );
  return { layers, env: config.config?.Env ?? [], name: base.reference, digest: base.digest };
}

async function platformManifest(
  store: Store,
  root: Descriptor,
  platform: Platform,
  name: string,
): Promise<ImageManifest> {
  const manifest = parseManifest(await readDocument(store, root), root.mediaType, root.digest);
  if (manifest.kind === 'image') return manifest;
  const entry = manifest.manifests.find(
    ({ platform: other }) => other?.os === 'linux' && other.architecture === architectureOf(platform),
  );
  if (!entry) throw noPlatform(name, platform);
  const child = parseManifest(await readDocument(store, entry), entry.mediaType, entry.digest);
  if (child.kind === 'image') return child;
  throw noPlatform(name, platform);
}

async function sourceOf(base: Base & { kind: 'image' }, environment: Environment): Promise<Store> {
  const reference = parseReference(`${base.reference}@${base.digest}`);
  switch (reference.kind) {
    case 'layout':
      return openLayout(reference.folder, { create: false, readOnly: true });
    case 'remote':
      return openRemote(reference, { environment });
    case 'local':
      throw new McpBuildError({
        code: 'base-unpinned',
        message: `Base ${base.reference} is a name of one machine's store`,
        input: base.reference,
        fix: 'Lock again with --base registry.example/base@sha256:… or oci:FOLDER@sha256:….',
        exit: 2,
      });
  }
}

async function isWhole(store: LayoutStore, base: Base & { kind: 'image' }): Promise<boolean> {
  try {
    const { blobs } = await treeOf(store, await store.resolve(base.digest));
    for (const blob of blobs) if (!(await store.has(blob))) return false;
    return true;
  } catch {
    return false;
  }
}

function noPlatform(input: string, platform: Platform): McpBuildError {
  return new McpBuildError({
    code: 'base-platform',
    message: `Base ${input} has no image for ${platform}`,
    input,
    fix: 'Name a base for this platform, or lock with --platform for the ones it has.',
  });
}
