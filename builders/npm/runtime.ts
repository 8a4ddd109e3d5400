import { McpBuildError } from '../../errors/index.ts';
import type { Entry } from '../entry.ts';
import type { NpmArtifact, Open } from '../lock.ts';
import { readPackage } from './tarball.ts';

export const RUNTIME_TRANSFORM = 'node-runtime/1';

const PLACES: Readonly<Record<string, { path: string; mode: number }>> = {
  'bin/node': { path: 'usr/local/bin/node', mode: 0o755 },
  LICENSE: { path: 'usr/local/share/doc/node/LICENSE', mode: 0o644 },
};

/** Of a package that carries Node, the binary and its licence. @throws McpBuildError `runtime-invalid`, `manifest-mismatch`, `archive-unsafe` */
export async function* bakeRuntime(artifact: NpmArtifact, open: Open): AsyncGenerator<Entry> {
  const contents = await readPackage({ ...artifact, open: () => open(artifact) });
  if (!contents.paths.has('bin/node')) {
    throw new McpBuildError({
      code: 'runtime-invalid',
      message: `${artifact.name}@${artifact.version} holds no bin/node`,
      input: `${artifact.name}@${artifact.version}`,
      fix: 'Lock the base again with a package that carries Node.',
    });
  }
  for await (const file of contents.files()) {
    const place = PLACES[file.path];
    if (place) yield { type: 'file', ...place, size: file.size, content: file.content };
  }
}
