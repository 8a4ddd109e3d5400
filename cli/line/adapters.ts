import { bakeBridge, fetchBridge } from '../../builders/bridge/index.ts';
import type {
  Adapter,
  Artifact,
  Ecosystem,
  Entry,
  FetchOptions,
  LayerLock,
  Open,
  Platform,
} from '../../builders/index.ts';
import { fetchLocal, LOCAL_INDEX } from '../../builders/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import type { PythonCompiler } from './bytecode.ts';

// Loaded when needed: a run from a lock must not pay for a resolver.

export async function adapterOf(ecosystem: Ecosystem): Promise<Adapter> {
  if (ecosystem === 'npm') return (await import('../../builders/npm/index.ts')).npm;
  return (await import('../../builders/pypi/index.ts')).pypi;
}

/** Finds one locked file, whatever its kind, where the user's configuration says. The bytes are not checked yet. */
export async function* fetchArtifact(artifact: Artifact, options: FetchOptions): AsyncGenerator<Uint8Array> {
  if (artifact.index === LOCAL_INDEX) {
    const { committedPlaces } = await import('./committed.ts');
    yield* fetchLocal(artifact, [...(options.files ?? []), ...(await committedPlaces(options.workspace))]);
    return;
  }
  switch (artifact.kind) {
    case 'npm':
      yield* (await adapterOf('npm')).fetch(artifact, options);
      return;
    case 'wheel':
      yield* (await adapterOf('pypi')).fetch(artifact, options);
      return;
    case 'deb':
      yield* (await import('../../builders/debian/index.ts')).fetchDeb(artifact, options);
      return;
    case 'bridge': {
      const { imagesFolder } = await import('../../builders/debian/index.ts');
      yield* fetchBridge(artifact, await imagesFolder());
      return;
    }
  }
}

/** The files of one layer, by its transform. @param below the layers under it @param python for layers of byte-code @throws McpBuildError `transform-unknown` */
export async function* bake(
  layer: LayerLock,
  platform: Platform,
  open: Open,
  below: readonly LayerLock[],
  python: Pick<PythonCompiler, 'bake'>,
): AsyncGenerator<Entry> {
  switch (layer.transform) {
    case 'npm/1':
    case 'node-runtime/1':
      yield* (await adapterOf('npm')).bake(layer, platform, open, below);
      return;
    case 'pypi/1':
      yield* (await adapterOf('pypi')).bake(layer, platform, open, below);
      return;
    case 'bridge/1':
      yield* bakeBridge(layer, open);
      return;
    case 'python-bytecode/1':
      yield* python.bake(layer, platform, below);
      return;
    case 'debian/1':
      yield* (await import('../../builders/debian/index.ts')).bakeBase(layer, platform, open);
      return;
    case 'debian-system/1':
      yield* (await import('../../builders/debian/index.ts')).bakeSystem(layer, platform, open, below);
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
