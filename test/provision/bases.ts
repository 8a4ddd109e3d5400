import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchDeb, readBaseLock, recipes } from '../../builders/debian/index.ts';
import type { DebArtifact } from '../../builders/index.ts';
import { isFault } from '../../errors/index.ts';
import { root } from '../e2e/harness/tree.ts';

export interface Bases {
  /** Variables for everything that builds images in this run. */
  readonly environment: Readonly<Record<string, string>>;
  stop(): void;
}

const COMMITTED: Bases = { environment: {}, stop: () => undefined };
/** In milliseconds, for all questions together. */
const TIMEOUT = 60_000;

/**
 * Mirrors drop superseded packages, so the committed locks of the bases stop building some day, without anybody's mistake. Where that is
 * so, the bases are locked anew into a folder for this run, and said so. Whatever else is wrong with the mirror is the tests' to find.
 */
export async function currentBases(environment: NodeJS.ProcessEnv): Promise<Bases> {
  // Whoever names bases wants those.
  if (environment.MCP_BUILD_IMAGES) return COMMITTED;
  const gone = await goneDebs(environment);
  if (gone.length === 0) return COMMITTED;
  const names = [...new Set(gone.map(({ name, version }) => `${name} ${version}`))].join(', ');
  console.error(`The mirror no longer has ${names}, which the committed base locks name.`);
  const folder = mkdtempSync(join(tmpdir(), 'mcp-build-bases-'));
  const images = join(folder, 'images');
  mkdirSync(images);
  const update = spawnSync(process.execPath, ['cli/main.ts', 'base', 'update'], {
    cwd: root,
    env: { ...environment, MCP_BUILD_IMAGES: images, MCP_BUILD_HOME: join(folder, 'home') },
    stdio: ['ignore', 2, 2],
    timeout: 600_000,
  });
  rmSync(join(folder, 'home'), { recursive: true, force: true });
  if (update.status !== 0) {
    rmSync(folder, { recursive: true, force: true });
    console.error('`mcp-build base update` failed too: tests that build images will fail.');
    return COMMITTED;
  }
  console.error(
    `This run uses bases that were locked just now, in ${images}; \`mcp-build base update\` brings the committed ones up to date.`,
  );
  return {
    environment: {
      MCP_BUILD_IMAGES: images,
      MCP_BUILD_TEST_BASES: `the mirror no longer has ${gone[0]?.name} ${gone[0]?.version} of the committed base locks`,
    },
    stop: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** The locked debs that the mirror says it doesn't have: asked for, and hung up on at the first byte. */
export async function goneDebs(environment: NodeJS.ProcessEnv): Promise<readonly DebArtifact[]> {
  const debs = new Map<string, DebArtifact>();
  for (const recipe of await recipes()) {
    for (const { layers } of Object.values((await readBaseLock(recipe)).platforms))
      for (const file of layers.flatMap((layer) => layer.files))
        if (file.kind === 'deb') debs.set(`${file.index} ${file.file}`, file);
  }
  const queue = [...debs.values()];
  const gone: DebArtifact[] = [];
  const signal = AbortSignal.timeout(TIMEOUT);
  const ask = async () => {
    for (let deb = queue.shift(); deb && !signal.aborted; deb = queue.shift()) {
      try {
        for await (const _ of fetchDeb(deb, { environment, signal })) break;
      } catch (error) {
        if (isFault(error, 'artifact-unavailable')) gone.push(deb);
        // No mirror, or one that doesn't answer: not a word about what it has.
        else queue.length = 0;
      }
    }
  };
  await Promise.all(Array.from({ length: 8 }, ask));
  return gone.sort((a, b) => (a.file < b.file ? -1 : 1));
}
