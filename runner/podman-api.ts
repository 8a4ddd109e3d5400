import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { McpBuildError } from '../errors/index.ts';
import { readBounded } from '../files/index.ts';
import type { DaemonFacts, Difference } from './compare.ts';
import { type Engine, refusal } from './engine.ts';
import type { RunImage } from './image.ts';
import { podmanRequest, profileOf, type RuntimeConfig, runtimeDifferences, runtimeSchema } from './podman.ts';
import type { ContainerSpec } from './spec.ts';

const libpodSchema = z.object({ OCIConfigPath: z.string().min(1), Image: z.string() });
/** In bytes. */
const CONFIG_LIMIT = 4 * 1024 * 1024;

/** How a container is asked for, and looked at, where Docker's API is Podman's. */
export function podmanDialect(api: Engine, describe: () => Promise<DaemonFacts>) {
  let known: Promise<boolean> | undefined;
  const at = (name: string, action: string) => `/libpod/containers/${encodeURIComponent(name)}${action}`;
  const ask = async (method: string, name: string, action: string) => {
    const answer = await api.request(method, at(name, action));
    if (answer.status < 200 || answer.status >= 400) throw refusal(answer, `${action} of ${name}`);
    return answer.body.toString('utf8');
  };
  return {
    /** @throws McpBuildError `engine-unsupported` for a Podman that is elsewhere */
    async spoken(): Promise<boolean> {
      known ??= describe().then(({ engine }) => engine === 'podman');
      const podman = await known.catch((error: unknown) => {
        known = undefined;
        throw error;
      });
      if (!podman || api.endpoint.kind === 'unix') return podman;
      throw unsupported(
        'on another machine can’t be used: what walls it built is in files of that machine',
        'Use its socket on this machine, or Docker.',
      );
    },
    /** The profile lies in a file that only this user can read, for as long as Podman reads it. */
    async create(spec: ContainerSpec, send: (spec: ContainerSpec) => Promise<string>): Promise<string> {
      const folder = await mkdtemp(join(tmpdir(), 'mcp-build-seccomp-'));
      try {
        const path = join(folder, 'profile.json');
        await writeFile(path, profileOf(spec), { mode: 0o600 });
        return await send(podmanRequest(spec, path));
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
    /** Has the container prepared, so that its runtime's configuration is there, and reads that. @throws McpBuildError `walls-unknown` */
    async differences(
      name: string,
      spec: ContainerSpec,
      image: Pick<RunImage, 'env' | 'entrypoint'>,
    ): Promise<readonly Difference[]> {
      await ask('POST', name, '/init');
      const { OCIConfigPath, Image } = libpodSchema.parse(JSON.parse(await ask('GET', name, '/json')));
      const found = Image.startsWith('sha256:') ? Image : `sha256:${Image}`;
      const other = found === spec.Image ? [] : [{ wall: 'Image', wanted: spec.Image, found }];
      return [...other, ...runtimeDifferences(spec, image, await configOf(OCIConfigPath))];
    },
    noBridge: () =>
      unsupported(
        'can’t keep servers on one bridge from each other',
        'Name the destinations: --allow-net host:port. Or use Docker.',
      ),
  };
}

async function configOf(path: string): Promise<RuntimeConfig> {
  try {
    return runtimeSchema.parse(JSON.parse((await readBounded(path, CONFIG_LIMIT)).toString('utf8')));
  } catch (cause) {
    throw new McpBuildError({
      code: 'walls-unknown',
      message: `What walls Podman built can't be read from ${path}`,
      input: path,
      fix: 'Nothing was started. Run mcp-build as the user whose Podman it is.',
      exit: 3,
      cause,
    });
  }
}

function unsupported(what: string, fix: string): McpBuildError {
  return new McpBuildError({ code: 'engine-unsupported', message: `Podman ${what}`, input: 'podman', fix });
}
