import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bridgeSource } from '../../.ci/bridge.ts';

const COMMITTED = fileURLToPath(new URL('../../images/bridge/bridge.mjs', import.meta.url));
const FAKE = fileURLToPath(new URL('../fakes/stdio-server.ts', import.meta.url));

/** The bridge that images get, and the one that today's sources would make: where they differ, both must do all of it. */
export const BRIDGES = ['committed', 'of today’s sources'] as const;

export interface RunningBridge {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly said: () => string;
  /** What it ended with. */
  readonly ended: Promise<number | NodeJS.Signals>;
  signal(name: NodeJS.Signals): void;
  [Symbol.asyncDispose](): Promise<void>;
}

let today: Promise<string> | undefined;

/** The bridge as the first process of a container would be: one file, with nothing beside it. */
export async function runBridge(
  which: (typeof BRIDGES)[number],
  command: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<RunningBridge> {
  const folder = await mkdtemp(join(tmpdir(), 'mcp-bridge-'));
  let file = COMMITTED;
  if (which !== 'committed') {
    file = join(folder, 'bridge.mjs');
    today ??= bridgeSource();
    await writeFile(file, await today);
  }
  const child = spawn(process.execPath, [file, ...command], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '', MCP_BRIDGE_PORT: '0', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  const ended = new Promise<number | NodeJS.Signals>((resolve) => {
    child.once('exit', (code, signal) => resolve(code ?? signal ?? 0));
  });
  const listening = new Promise<string>((resolve, reject) => {
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      const [, port] = /mcp-bridge: http:\/\/localhost:(\d+)\/mcp/.exec(said) ?? [];
      if (port !== undefined) resolve(port);
    });
    void ended.then((code) => reject(new Error(`the bridge ended with ${code}: ${said}`)));
  });
  const dispose = async () => {
    child.kill('SIGINT');
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const port = Number(await listening);
    return {
      url: `http://127.0.0.1:${port}`,
      port,
      pid: child.pid ?? 0,
      said: () => said,
      ended,
      signal: (name) => child.kill(name),
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** A bridge in front of the fake that does what it is told. */
export function fakeBehind(
  which: (typeof BRIDGES)[number],
  options: object = {},
  environment: Readonly<Record<string, string>> = {},
): Promise<RunningBridge> {
  return runBridge(which, [process.execPath, '--no-warnings', FAKE, JSON.stringify(options)], environment);
}
