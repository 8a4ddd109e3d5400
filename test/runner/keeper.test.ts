import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { McpBuildError } from '../../errors/index.ts';
import {
  askKeeper,
  type KeeperOptions,
  type KeptRecord,
  listKept,
  NO_PERMISSIONS,
  openLog,
  openSession,
  readLog,
  recordFile,
  restartKeeper,
  runSession,
  serveKeeper,
  stopKeeper,
  takeKept,
} from '../../runner/index.ts';
import type { FakeOptions, Program } from '../fakes/docker.ts';
import { fixture, text } from './fixture.ts';

const TOKEN = 'token-of-sixteen-letters';

/** A server that answers pings as MCP servers do, and echoes everything else. */
async function answering({ stdin, stdout, stderr }: Program): Promise<number> {
  await stderr(`up with ${TOKEN}\n`);
  let rest = '';
  for await (const chunk of stdin) {
    rest += Buffer.from(chunk).toString();
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const message = JSON.parse(line) as { id?: unknown; method?: string };
      if (message.method === 'ping')
        await stdout(`${JSON.stringify({ jsonrpc: '2.0', id: message.id, result: {} })}\n`);
      else if (message.method === 'exit') return 3;
      else await stdout(`${line}\n`);
    }
  }
  return 0;
}

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function keeper(options: Partial<KeeperOptions> = {}, fake: FakeOptions = {}) {
  const on = await fixture({ program: answering, ...fake });
  const folder = join(on.folder, 'kept');
  const logs = join(on.folder, 'logs');
  await mkdir(folder, { mode: 0o700 });
  const record: KeptRecord = {
    name: 'one',
    target: 'npm:one',
    socket: join(folder, 'one.sock'),
    pid: process.pid,
    since: 1,
    verify: { registry: {}, permissions: {} },
  };
  const over = new AbortController();
  let opened = 0;
  const served = serveKeeper({
    record,
    file: recordFile(folder, 'one'),
    fingerprint: 'all of it',
    size: 1,
    restart: { when: 'always' },
    timing: { backOff: 20 },
    environment: { TOKEN },
    log: await openLog(logs, 'mcp-build-keeper-one'),
    logOf: (container) => openLog(logs, container),
    signal: over.signal,
    async open(hooks) {
      opened += 1;
      return { session: await openSession({ ...on.options, ...hooks }), digest: on.image.digest };
    },
    ...options,
  });
  served.catch(() => undefined);
  cleanups.push(
    () => on.end(),
    async () => {
      over.abort();
      await served.catch(() => undefined);
    },
  );
  const status = () => askKeeper(folder, record);
  const ready = async () => {
    for (let turn = 0; turn < 200; turn += 1) {
      const now = await status().catch(() => undefined);
      // Its socket is there a moment before its record.
      if (now?.state === 'ready' && (await listKept(folder)).length > 0) return now;
      await sleep(20);
    }
    throw new Error('it was never ready');
  };
  return { ...on, record, folder, logs, over, served, status, ready, opened: () => opened };
}

const streams = () => ({ stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() });

async function drive(session: NonNullable<Awaited<ReturnType<typeof takeKept>>>, through: ReturnType<typeof streams>) {
  return runSession(
    { server: { name: 'one' }, permissions: NO_PERMISSIONS, environment: {}, say: () => undefined, streams: through },
    async () => session,
  );
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 200; turn += 1) {
    if (await condition()) return;
    await sleep(20);
  }
  throw new Error('it did not happen in time');
}

describe('a keeper', () => {
  test('hands a started server over: what it said before, then what it answers, then its exit code', async () => {
    const on = await keeper();
    const before = await on.ready();
    expect(before.ready).toHaveLength(1);
    const session = await takeKept(on.record, { digest: on.image.digest, fingerprint: 'all of it' });
    expect(session?.container).toBe(before.ready[0]);
    const through = streams();
    const [out, err] = [text(through.stdout), text(through.stderr)];
    const done = drive(session!, through);
    through.stdin.write('{"method":"hello"}\n{"method":"exit"}\n');
    expect(await done).toEqual({ exitCode: 3, reason: 'exited' });
    through.stdout.end();
    through.stderr.end();
    // No answer to a ping that the client never sent.
    expect(await out).toBe('{"method":"hello"}\n');
    expect(await err).toBe('up with [TOKEN]\n');
    // Another waits by now, and of the first nothing is left.
    const after = await on.ready();
    expect(after.ready[0]).not.toBe(before.ready[0]);
    expect([...on.daemon.containers.keys()]).toEqual(after.ready);
    expect(await text(readLog(on.logs, session!.container))).toBe('up with [TOKEN]\n');
    expect(await text(readLog(on.logs, 'mcp-build-keeper-one'))).not.toContain(TOKEN);
  });

  test('passes the end of input and signals on', async () => {
    const on = await keeper();
    await on.ready();
    const through = streams();
    const done = drive((await takeKept(on.record, {}))!, through);
    through.stdin.end();
    expect(await done).toEqual({ exitCode: 0, reason: 'exited' });
    await on.ready();
    const session = (await takeKept(on.record, {}))!;
    await session.kill('SIGTERM');
    expect(await session.exited).toEqual({ code: 143 });
  });

  test('stops a server whose client is gone without a word', async () => {
    const on = await keeper();
    await on.ready();
    const session = (await takeKept(on.record, {}))!;
    expect((await on.status())?.used).toEqual([session.container]);
    session.exited.catch(() => undefined);
    // As the system closes the connections of a process that was killed.
    await session.close();
    await until(() => !on.daemon.containers.has(session.container));
    expect((await on.status())?.used).toEqual([]);
  });

  test('gives nobody a server of another image or behind other walls', async () => {
    const on = await keeper();
    const first = await on.ready();
    await expect(takeKept(on.record, { fingerprint: 'something else' })).rejects.toMatchObject({
      code: 'kept-otherwise',
    });
    expect((await on.status())?.ready).toEqual(first.ready);
    // What verifies now is another one: those that wait are started, and verified, again.
    expect(await takeKept(on.record, { digest: `sha256:${'0'.repeat(64)}` })).toBeUndefined();
    await until(
      async () => (await on.status())?.ready[0] !== undefined && (await on.status())?.ready[0] !== first.ready[0],
    );
    expect(on.opened()).toBe(2);
  });

  test('verifies before each start, and says why there is none', async () => {
    let refused = false;
    const on = await keeper();
    await on.ready();
    cleanups.push(async () => undefined);
    const folder = join(on.folder, 'second');
    await mkdir(folder, { mode: 0o700 });
    const over = new AbortController();
    const record = { ...on.record, name: 'two', socket: join(folder, 'two.sock') };
    const served = serveKeeper({
      record,
      file: recordFile(folder, 'two'),
      fingerprint: '',
      size: 1,
      restart: { when: 'always' },
      timing: { backOff: 20 },
      environment: {},
      log: await openLog(on.logs, 'mcp-build-keeper-two'),
      logOf: (container) => openLog(on.logs, container),
      signal: over.signal,
      async open() {
        if (refused)
          throw new McpBuildError({ code: 'untrusted-signer', message: 'no longer', fix: 'Sign it.', exit: 3 });
        return { session: await openSession(on.options), digest: on.image.digest };
      },
    });
    await until(async () => (await askKeeper(folder, record).catch(() => undefined))?.state === 'ready');
    refused = true;
    await restartKeeper(record);
    await until(async () => (await askKeeper(folder, record))?.error !== undefined);
    expect(await askKeeper(folder, record)).toMatchObject({
      ready: [],
      error: { code: 'untrusted-signer', message: 'no longer', fix: 'Sign it.', exit: 3 },
    });
    expect(await takeKept(record, {})).toBeUndefined();
    over.abort();
    await served;
  });

  test('starts again what ended while it waited', async () => {
    const on = await keeper();
    const first = await on.ready();
    await on.options.runtime.kill(first.ready[0] ?? '', 'SIGKILL');
    await until(async () => (await on.status())?.ready.some((name) => name !== first.ready[0]) ?? false);
    expect([...on.daemon.containers.keys()]).not.toContain(first.ready[0]);
  });

  test('does not keep a server that floods or never answers', async () => {
    const on = await keeper(
      {},
      {
        program: async ({ stdout }) => {
          for (;;) {
            await stdout('x'.repeat(4096));
            await sleep(1);
          }
        },
      },
    );
    await until(async () => (await on.status().catch(() => undefined))?.error !== undefined);
    expect((await on.status())?.error?.code).toBe('server-unruly');
  });

  test('stops all of its servers, and leaves neither socket nor record', async () => {
    const on = await keeper({ size: 2 });
    await until(async () => (await on.status().catch(() => undefined))?.ready.length === 2);
    await until(async () => (await listKept(on.folder)).length === 1);
    const session = (await takeKept(on.record, {}))!;
    session.exited.catch(() => undefined);
    expect((await stat(on.record.socket)).mode & 0o777).toBe(0o600);
    expect((await stat(recordFile(on.folder, 'one'))).mode & 0o777).toBe(0o600);
    await stopKeeper(on.record);
    await on.served;
    expect(on.daemon.containers.size).toBe(0);
    expect(await readdir(on.folder)).toEqual([]);
    expect(on.released()).toBe(on.guarded.length);
  });

  test('whose folder is taken away ends, and its servers with it', async () => {
    const on = await keeper();
    await on.ready();
    await rm(on.folder, { recursive: true });
    await on.served;
    expect(on.daemon.containers.size).toBe(0);
  });

  test('that was killed is forgotten, and one that is stuck is told', async () => {
    const on = await keeper();
    await on.ready();
    const gone = { ...on.record, name: 'gone', socket: join(on.folder, 'gone.sock') };
    await writeFile(recordFile(on.folder, 'gone'), JSON.stringify(gone));
    await writeFile(recordFile(on.folder, 'broken'), '{"name":"../x"}');
    expect((await listKept(on.folder)).map(({ name }) => name)).toEqual(['gone', 'one']);
    expect(await askKeeper(on.folder, gone)).toBeUndefined();
    expect((await listKept(on.folder)).map(({ name }) => name)).toEqual(['one']);
  });

  test.each([
    ['POST', '/take', '{"digest":5}', 400],
    ['POST', '/take', 'no JSON', 400],
    ['POST', '/take', `"${'x'.repeat(70_000)}"`, 400],
    ['GET', '/containers/json', '', 404],
    ['POST', '/containers/mcp-build-other/kill?signal=SIGKILL', '', 404],
    ['DELETE', '/keeper', '', 404],
  ])('%s %s is refused', async (method, path, body, status) => {
    const on = await keeper();
    await on.ready();
    const http = await import('node:http');
    const answered = await new Promise((resolve, reject) => {
      const request = http.request({ socketPath: on.record.socket, method, path }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      });
      request.on('error', reject).end(body);
    });
    expect(answered).toBe(status);
  });
});
