import { McpBuildError } from '../../errors/index.ts';
import type { Entry } from '../entry.ts';
import type { LayerLock, NpmArtifact, Open } from '../lock.ts';
import type { Platform } from '../platform.ts';
import { BinLinks, executableContent } from './bins.ts';
import { binsOf } from './manifest.ts';
import { hostileName, isLocation } from './names.ts';
import { bakeRuntime, RUNTIME_TRANSFORM } from './runtime.ts';
import { type PackageFile, readPackage } from './tarball.ts';

/** What an image's npm tree is made by. Another number where the same lock would give other files. */
export const TRANSFORM = 'npm/1';

const ROOT = 'app';

/**
 * The files of an npm layer: each package in lock order at each of its places, every tarball's files in its own order, then the
 * `.bin` links. @throws McpBuildError `manifest-mismatch`, `archive-unsafe`, `archive-invalid`, `name-unsafe`, `transform-unknown`
 */
export async function* bake(layer: LayerLock, _platform: Platform, open: Open): AsyncGenerator<Entry> {
  const artifacts = layer.files.filter((file) => file.kind === 'npm');
  switch (layer.transform) {
    case TRANSFORM:
      yield* bakeTree(artifacts, open);
      return;
    case RUNTIME_TRANSFORM:
      for (const artifact of artifacts) yield* bakeRuntime(artifact, open);
      return;
    default:
      throw new McpBuildError({
        code: 'transform-unknown',
        message: `Layer ${layer.name} was locked for "${layer.transform}", which this mcp-build doesn't have`,
        input: layer.transform,
        fix: 'Use the version of mcp-build that made the lock, or lock again.',
      });
  }
}

async function* bakeTree(artifacts: readonly NpmArtifact[], open: Open): AsyncGenerator<Entry> {
  const links = new BinLinks();
  for (const artifact of artifacts) {
    const contents = await readPackage({ ...artifact, open: () => open(artifact) });
    const bins = new Set(binsOf(contents.manifest).values());
    for (const [folder, manifest] of contents.bundled)
      for (const path of binsOf(manifest).values()) bins.add(`${folder}/${path}`);
    for (const location of artifact.locations) {
      if (!isLocation(location)) throw hostileName(location, 'the lock');
      links.add(location, contents);
      for await (const file of contents.files()) yield await entryOf(file, `${ROOT}/${location}`, bins);
    }
  }
  for (const { path, target } of links.all()) yield { type: 'symlink', path: `${ROOT}/${path}`, target };
}

async function entryOf(file: PackageFile, folder: string, bins: ReadonlySet<string>): Promise<Entry> {
  const path = `${folder}/${file.path}`;
  if (!bins.has(file.path))
    return { type: 'file', path, mode: file.executable ? 0o755 : 0o644, size: file.size, content: file.content };
  return { type: 'file', path, mode: 0o755, ...(await executableContent(file)) };
}
