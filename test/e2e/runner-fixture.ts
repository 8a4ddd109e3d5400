import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Entry } from '../../builders/index.ts';
import { type Descriptor, openLayout, type Store } from '../../registry/index.ts';
import { docker, parseEndpoint, type Runtime } from '../../runner/index.ts';
import {
  busyboxEntries,
  fileEntry,
  programEntries,
  putImage,
  putLayer,
  type TestImage,
  textEntry,
} from '../fakes/docker-image.ts';
import { type Dockerd, testDocker } from './dockerd.ts';
import { missing } from './harness/needs.ts';

/** Why these tests can't run here. @throws Error with CI=true, as `missing` does */
export function lacking(): string | undefined {
  return missing('busybox', 'docker');
}

export interface Stage {
  readonly daemon: Dockerd;
  readonly runtime: Runtime;
  readonly store: Store;
  readonly folder: string;
  readonly state: string;
  /** Where private files of its runs are kept: memory that the daemon sees too, and no other test. */
  readonly memory: string;
  /** An image that holds a shell and this machine's Node. */
  image(image: TestImage): Promise<Descriptor>;
  /** A shell script as the server. */
  shell(script: string): Promise<Descriptor>;
  /** A JavaScript file as the server. */
  node(script: string): Promise<Descriptor>;
  /** A Python file as the server, by the Python of this machine; undefined where it has none in the usual place. */
  python(script: string): Promise<Descriptor | undefined>;
  /** Anything else on top of the shell. */
  files(entries: readonly Entry[], image: TestImage): Promise<Descriptor>;
  run(image: Descriptor, more?: Record<string, unknown>): ChildProcessWithoutNullStreams;
  end(): Promise<void>;
}

async function pythonEntries(program: string, version: string): Promise<Entry[]> {
  const library = `/usr/lib/${version}`;
  const names = await readdir(library, { recursive: true, withFileTypes: true });
  const files = names.filter(
    (entry) =>
      entry.isFile() &&
      !/\/(test|tests|idlelib|__pycache__|ensurepip|config-[^/]*|dist-packages)(\/|$)/.test(entry.parentPath),
  );
  const entries = await programEntries(program, `usr/bin/${version}`);
  entries.push({ type: 'symlink', path: 'usr/bin/python3', target: version });
  for (const { parentPath, name } of files) {
    const path = join(parentPath, name);
    entries.push(await fileEntry(path, path.slice(1), 0o644));
  }
  return entries;
}

const MAIN = fileURLToPath(new URL('./runner-process.ts', import.meta.url));

export async function stage(engine: () => Promise<Dockerd> = testDocker): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), 'runner-e2e-'));
  const daemon = await engine();
  const memory = await mkdtemp('/dev/shm/runner-e2e-');
  const store = await openLayout(join(folder, 'store'));
  const state = join(folder, 'state');
  const shellLayer = await putLayer(store, await busyboxEntries());
  let nodeLayer: ReturnType<typeof putLayer> | undefined;
  let pythonLayer: ReturnType<typeof putLayer> | undefined;
  const children = new Set<ChildProcessWithoutNullStreams>();
  const image = (of: TestImage) => putImage(store, [shellLayer], of);
  return {
    daemon,
    runtime: docker(parseEndpoint(daemon.host)),
    store,
    folder,
    state,
    memory,
    image,
    shell: (script) => image({ entrypoint: ['/bin/sh', '-c', script, 'server'] }),
    async node(script) {
      nodeLayer ??= programEntries(process.execPath, 'usr/local/bin/node').then((entries) => putLayer(store, entries));
      const app = await putLayer(store, [textEntry('app/server.mjs', script)]);
      return putImage(store, [shellLayer, await nodeLayer, app], {
        entrypoint: ['/usr/local/bin/node', '/app/server.mjs'],
        env: ['PATH=/usr/local/bin:/bin', 'HOME=/home/nonroot', 'NODE_ENV=production'],
      });
    },
    async python(script) {
      const program = '/usr/bin/python3';
      if (!existsSync(program)) return undefined;
      const version = (await realpath(program)).split('/').at(-1) ?? '';
      pythonLayer ??= pythonEntries(program, version).then((entries) => putLayer(store, entries));
      const app = await putLayer(store, [textEntry('app/server.py', `#!/usr/bin/python3\n${script}`, 0o755)]);
      return putImage(store, [shellLayer, await pythonLayer, app], {
        // A console script, as wheels bring them: nothing in the entrypoint says that it is Python.
        entrypoint: ['/app/server.py'],
        env: ['PATH=/usr/bin:/bin', 'HOME=/home/nonroot', 'PYTHONUNBUFFERED=1'],
      });
    },
    async files(entries, of) {
      return putImage(store, [shellLayer, await putLayer(store, entries)], of);
    },
    run(of, more = {}) {
      const config = { host: daemon.host, store: join(folder, 'store'), state, image: of, ...more };
      const child = spawn(process.execPath, ['--no-warnings', MAIN, JSON.stringify(config)], {
        stdio: ['pipe', 'pipe', 'pipe'],
        env: { ...process.env, ...(more.env as Record<string, string>), XDG_RUNTIME_DIR: memory },
      });
      child.stdin.on('error', () => undefined);
      children.add(child);
      child.once('exit', () => children.delete(child));
      return child;
    },
    async end() {
      for (const child of children) child.kill('SIGKILL');
      // The reaper ends three seconds after its last run, and takes up to ten for runs that were killed.
      await daemon.stop();
      await rm(folder, { recursive: true, force: true });
      await rm(memory, { recursive: true, force: true });
    },
  };
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Everything a run says, until it ends. */
export async function ended(child: ChildProcessWithoutNullStreams): Promise<Ended> {
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
    child.once('close', (...args) => resolve(args)),
  );
  return { code, signal, stdout: Buffer.concat(out), stderr: Buffer.concat(err).toString('utf8') };
}

/** What a machine has that a run could leave behind. */
export async function leftovers({ runtime, memory }: Stage): Promise<{ containers: string[]; files: string[] }> {
  const containers = (await runtime.list({ 'io.mcp-build.owner.uid': String(process.getuid?.()) })).map(
    ({ name }) => name,
  );
  return { containers, files: await readdir(memory) };
}

export async function until(condition: () => boolean | Promise<boolean>, timeout: number): Promise<number> {
  const begun = performance.now();
  while (!(await condition())) {
    if (performance.now() - begun > timeout) throw new Error('it did not happen in time');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return performance.now() - begun;
}
