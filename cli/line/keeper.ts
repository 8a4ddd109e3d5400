import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { McpBuildError } from '../../errors/index.ts';
import { withFileLock } from '../../files/index.ts';
import {
  askKeeper,
  type KeeperStatus,
  type KeptRecord,
  keptFault,
  type Limits,
  listKept,
  openLog,
  openSession,
  type Permissions,
  type Private,
  type Restart,
  recordFile,
  serveKeeper,
  socketIn,
  stopKeeper,
} from '../../runner/index.ts';
import type { Environment, Home } from './home.ts';
import type { RegistryOptions } from './image.ts';
import { keeperLog, keptFolder } from './kept.ts';
import { publicKeyFile } from './keys.ts';
import { mainProgram } from './program.ts';
import { logFolder, runtimeOf, sessionOptions, verifiedImage } from './start.ts';
import { recordUse } from './usage.ts';

/** Everything a keeper needs to start its server again and again. It holds values of secrets: it goes from process to process through a pipe, and to no file. */
export interface KeeperInput {
  readonly name: string;
  readonly target: string;
  readonly bin?: string | undefined;
  readonly part?: string | undefined;
  readonly fingerprint: string;
  readonly args: readonly string[];
  readonly permissions: Permissions;
  readonly values: Readonly<Record<string, string>>;
  readonly limits: Limits;
  /** Their content in Base64. */
  readonly files: readonly { readonly target: string; readonly content: string }[];
  readonly keys?: readonly string[] | undefined;
  readonly registry: Omit<RegistryOptions, 'environment'>;
  readonly size: number;
  readonly restart: Restart;
  /** In milliseconds; 0 for ever. */
  readonly idle: number;
}

/** For a keeper that is only now being replaced to let go of its name, in milliseconds. */
const NAME_WAIT = 500;

/** Is the keeper: returns when it has been stopped. @throws McpBuildError `name-taken` */
export async function runKeeper(input: KeeperInput, home: Home, environment: Environment): Promise<void> {
  const folder = keptFolder(home);
  const over = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => over.abort());
  const serve = async () => {
    // One for all starts: each brings connections of its own, which are kept open.
    const runtime = await runtimeOf(environment);
    const record: KeptRecord = {
      name: input.name,
      target: input.target,
      socket: await socketIn(folder, `${input.name}.sock`, 'keeper-unavailable'),
      pid: process.pid,
      verify: {
        registry: input.registry,
        permissions: input.permissions,
        ...(input.bin ? { bin: input.bin } : {}),
        ...(input.part ? { part: input.part } : {}),
        ...(input.keys ? { keys: [...input.keys] } : {}),
      },
      since: Math.floor(Date.now() / 1000),
    };
    await serveKeeper({
      record,
      file: recordFile(folder, input.name),
      fingerprint: input.fingerprint,
      size: input.size,
      restart: input.restart,
      timing: { idle: input.idle },
      environment: input.values,
      log: await openLog(logFolder(home), keeperLog(input.name)),
      logOf: (container) => openLog(logFolder(home), container),
      signal: over.signal,
      async open({ say, onDecision }) {
        // Each start is of what verifies now, whatever verified before.
        const verified = await verifiedImage(input.target, {
          home,
          environment,
          bin: input.bin,
          package: input.part,
          ...(input.keys ? { keys: await Promise.all(input.keys.map(publicKeyFile)) } : {}),
          registry: input.registry,
          progress: () => undefined,
          say,
        });
        const options = await sessionOptions({ ...input, verified, home, environment, say, runtime });
        const files = input.files.map(
          ({ target, content }): Private => ({ target, content: Buffer.from(content, 'base64') }),
        );
        const use = recordUse(home, options);
        const session = await openSession({
          ...options,
          files,
          onDecision: (decision) => {
            use(decision);
            onDecision?.(decision);
          },
        });
        return { session, digest: verified.image.digest };
      },
    });
  };
  await withFileLock(join(folder, `${input.name}.lock`), serve, NAME_WAIT);
}

/**
 * Starts a keeper that outlives this process and its terminal, and waits until its first server is ready.
 * @throws McpBuildError why it isn't
 */
export async function startKeeper(input: KeeperInput, home: Home): Promise<KeeperStatus> {
  const folder = keptFolder(home);
  detach(JSON.stringify(input));
  let status: KeeperStatus | undefined;
  for (const begun = Date.now(); Date.now() - begun < START_TIMEOUT; ) {
    await sleep(50);
    const record = (await listKept(folder)).find(({ name }) => name === input.name);
    status = record && (await askKeeper(folder, record));
    if (status?.state === 'ready') return status;
    if (record && status?.error) {
      await stopKeeper(record).catch(() => undefined);
      throw keptFault(status.error);
    }
  }
  throw new McpBuildError({
    code: 'keeper-unavailable',
    message: `What is to keep "${input.name}" ready did not start`,
    input: input.name,
    fix: `See \`mcp-build logs ${input.name}\`, or start it without --detach.`,
  });
}

const START_TIMEOUT = 90_000;
/** It holds a few connections: most of the memory a Node process takes by default is never used. */
const FLAGS = ['--max-old-space-size=128', '--max-semi-space-size=1', '--no-warnings'];

/** Through a shell that ends at once, so that it belongs to nobody's tree of processes; in a session of its own. */
function detach(input: string): void {
  const { command, args } = mainProgram();
  const child = spawn(
    '/bin/sh',
    ['-c', 'exec 3<&0; "$@" <&3 3<&- >/dev/null 2>&1 &', 'sh', command, ...FLAGS, ...args, 'start', '--keeper'],
    { detached: true, stdio: ['pipe', 'ignore', 'ignore'] },
  );
  child.on('error', () => undefined);
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  child.unref();
}
