import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Listed, reaper } from '../../runner/index.ts';
import { LABEL, orphaned, ownerLabels, thisOwner } from '../../runner/owner.ts';
import { serveReaper, sweep } from '../../runner/reaping.ts';

const ENDPOINT = { kind: 'unix', path: '/nowhere/docker.sock' } as const;
let folder: string;
let socket: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reaper-'));
  socket = join(folder, 'reaper.sock');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A daemon that only knows which containers there are. */
function daemon(...names: string[]) {
  const containers = new Set(names);
  const removed: string[] = [];
  let down = false;
  return {
    containers,
    removed,
    setDown: (value: boolean) => {
      down = value;
    },
    runtime: {
      async remove(name: string) {
        if (down) throw new Error('daemon is down');
        if (containers.delete(name)) removed.push(name);
      },
      list: async (): Promise<readonly Listed[]> => [],
    },
  };
}

async function until(condition: () => boolean | Promise<boolean>, timeout = 5_000): Promise<void> {
  const deadline = Date.now() + timeout;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('it did not happen');
    await sleep(10);
  }
}

const guarded = (...containers: string[]) => ({ endpoint: ENDPOINT, containers, folders: [] });

/** The pid of the process that listens on a Unix socket. */
async function listener(path: string): Promise<number | undefined> {
  const inode = readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .find((line) => line.endsWith(` ${path}`))
    ?.split(/ +/)[6];
  for (const pid of await readdir('/proc')) {
    if (!/^[0-9]+$/.test(pid)) continue;
    const files = await readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const file of files) {
      const { readlink } = await import('node:fs/promises');
      if ((await readlink(`/proc/${pid}/fd/${file}`).catch(() => '')) === `socket:[${inode}]`) return Number(pid);
    }
  }
  return undefined;
}

describe('the reaper', () => {
  test('removes what a run had when the run is gone without a word, and only then', async () => {
    const { runtime, containers, removed } = daemon('mcp-build-a', 'mcp-build-b');
    const serving = serveReaper({ socket, idle: 100, runtime: () => runtime });
    await until(() =>
      stat(socket).then(
        () => true,
        () => false,
      ),
    );
    const guards = reaper({ folder });
    const a = await guards.guard(guarded('mcp-build-a'));
    const b = await guards.guard(guarded('mcp-build-b'));
    await a.release();
    await sleep(100);
    expect(removed).toEqual([]);
    b.abandon();
    await until(() => removed.length > 0, 1_000);
    expect(removed).toEqual(['mcp-build-b']);
    expect([...containers]).toEqual(['mcp-build-a']);
    await serving;
  }, 20_000);

  test('removes a container that appears after its run has died', async () => {
    const { runtime, containers, removed } = daemon();
    void serveReaper({ socket, idle: 100, runtime: () => runtime });
    await until(() =>
      stat(socket).then(
        () => true,
        () => false,
      ),
    );
    const guard = await reaper({ folder }).guard(guarded('mcp-build-late'));
    guard.abandon();
    await sleep(1_500);
    containers.add('mcp-build-late');
    await until(() => removed.length === 1, 2_000);
  });

  test('does not wait long for a daemon that is away when its state folder is gone too', async () => {
    const { runtime, setDown } = daemon('mcp-build-a');
    setDown(true);
    const serving = serveReaper({ socket, idle: 100, runtime: () => runtime });
    await until(() =>
      stat(socket).then(
        () => true,
        () => false,
      ),
    );
    (await reaper({ folder }).guard(guarded('mcp-build-a'))).abandon();
    await rm(folder, { recursive: true });
    await serving;
  }, 15_000);

  test('waits for a daemon that is away', async () => {
    const { runtime, removed, setDown } = daemon('mcp-build-a');
    setDown(true);
    void serveReaper({ socket, idle: 100, runtime: () => runtime });
    await until(() =>
      stat(socket).then(
        () => true,
        () => false,
      ),
    );
    (await reaper({ folder }).guard(guarded('mcp-build-a'))).abandon();
    await sleep(500);
    setDown(false);
    await until(() => removed.length === 1, 2_000);
  });

  test('deletes private folders of its runs, and no other folder', async () => {
    const { runtime } = daemon();
    const mine = join(folder, 'mcp-build-0123456789abcdef');
    const other = join(folder, 'precious');
    for (const path of [mine, other]) await mkdir(path);
    void serveReaper({ socket, idle: 100, runtime: () => runtime });
    await until(() =>
      stat(socket).then(
        () => true,
        () => false,
      ),
    );
    const guard = await reaper({ folder }).guard({ ...guarded(), folders: [mine, other] });
    guard.abandon();
    await until(() =>
      stat(mine).then(
        () => false,
        () => true,
      ),
    );
    expect((await stat(other)).isDirectory()).toBe(true);
  });

  test.each([
    ['what is not JSON', 'hello\n'],
    ['an unknown message', '{"kill":"everything"}\n'],
    [
      'a name that is not one of ours',
      '{"guard":{"endpoint":{"kind":"unix","path":"/x"},"containers":["database"],"folders":[]}}\n',
    ],
    ['a line without end', 'x'.repeat(200_000)],
  ])('closes the connection on %s', async (_name, line) => {
    const { runtime, removed } = daemon('database');
    void serveReaper({ socket, idle: 100, runtime: () => runtime });
    await until(() =>
      stat(socket).then(
        () => true,
        () => false,
      ),
    );
    const connection = net.connect(socket);
    connection.on('error', () => undefined);
    connection.write(line);
    await new Promise((resolve) => connection.once('close', resolve));
    expect(removed).toEqual([]);
  });

  test('is one of several that start at once', async () => {
    const { runtime } = daemon();
    const serving = Array.from({ length: 5 }, () =>
      serveReaper({ socket, idle: 300, runtime: () => runtime }).then(
        () => 'served',
        (error: { code?: string }) => error.code,
      ),
    );
    expect((await Promise.all(serving)).sort()).toEqual(['busy', 'busy', 'busy', 'busy', 'served']);
  });

  test('lets another take over when its socket was deleted, and still guards its own', async () => {
    const first = daemon('mcp-build-a');
    const second = daemon('mcp-build-b');
    void serveReaper({ socket, idle: 60_000, runtime: () => first.runtime });
    await until(() =>
      stat(socket).then(
        () => true,
        () => false,
      ),
    );
    const a = await reaper({ folder }).guard(guarded('mcp-build-a'));
    await rm(socket);
    await sleep(700);
    void serveReaper({ socket, idle: 100, runtime: () => second.runtime });
    await until(() =>
      stat(socket).then(
        () => true,
        () => false,
      ),
    );
    (await reaper({ folder }).guard(guarded('mcp-build-b'))).abandon();
    await until(() => second.removed.length === 1);
    a.abandon();
    await until(() => first.removed.length === 1);
  });
});

describe('its process', () => {
  const started: ChildProcess[] = [];
  afterEach(async () => {
    for (const child of started.splice(0)) child.kill('SIGKILL');
    const pid = await listener(socket);
    if (pid) process.kill(pid, 'SIGKILL');
  });

  /** A process of its own that holds one guard until it is killed. */
  async function run(name: string): Promise<ChildProcess> {
    const code = `
      import { reaper } from ${JSON.stringify(new URL('../../runner/reaper.ts', import.meta.url).href)};
      await reaper({ folder: ${JSON.stringify(folder)}, idle: 2000 }).guard(${JSON.stringify(guarded(name))});
      process.stdout.write('guarded\\n');
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    started.push(child);
    await new Promise<void>((resolve, reject) => {
      child.stdout?.once('data', () => resolve());
      child.once('exit', () => reject(new Error('the run ended')));
    });
    return child;
  }

  test('is one for many runs, belongs to none of them, and knows none of their variables', async () => {
    const runs = await Promise.all(['a', 'b', 'c', 'd'].map((name) => run(`mcp-build-${name}`)));
    const pid = await listener(socket);
    expect(pid).toBeDefined();
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    const parent = Number(/PPid:\t(\d+)/.exec(status)?.[1]);
    expect([process.pid, ...runs.map((child) => child.pid)]).not.toContain(parent);
    const variables = (await readFile(`/proc/${pid}/environ`, 'utf8')).split('\0').map((line) => line.split('=')[0]);
    expect(variables.filter((name) => name !== '' && name !== 'PWD')).toEqual(['PATH']);
  }, 20_000);

  test('is started again when it is killed while it is needed', async () => {
    await run('mcp-build-a');
    const first = await listener(socket);
    process.kill(first!, 'SIGKILL');
    await until(async () => {
      const now = await listener(socket);
      return now !== undefined && now !== first;
    }, 10_000);
  }, 30_000);
});

test('a state folder with a very long name still has a reaper', async () => {
  const deep = join(folder, 'x'.repeat(80), 'y'.repeat(80));
  const guard = await reaper({ folder: deep, idle: 200 }).guard(guarded('mcp-build-a'));
  await guard.release();
});

describe('the sweep', () => {
  test('removes containers whose process is gone, and none of which that is uncertain', async () => {
    const here = await thisOwner();
    const labels = (change: Record<string, string>) => ({ ...ownerLabels(here), ...change });
    const list: Listed[] = [
      ['mine', labels({})],
      ['reused-pid', labels({ [LABEL.started]: '1' })],
      ['gone', labels({ [LABEL.pid]: '4194304' })],
      ['other-user', labels({ [LABEL.pid]: '4194304', [LABEL.uid]: '12345' })],
      ['other-machine', labels({ [LABEL.pid]: '4194304', [LABEL.place]: 'elsewhere' })],
      ['odd', labels({ [LABEL.pid]: 'x' })],
    ].map(([name, of]) => ({
      id: name as string,
      name: name as string,
      state: 'running',
      labels: of as Record<string, string>,
      created: 0,
    }));
    const removed: string[] = [];
    const runtime = {
      list: async () => list,
      async remove(name: string) {
        removed.push(name);
      },
    };
    const stale = join(folder, 'mcp-build-0123456789abcdef');
    const fresh = join(folder, 'mcp-build-fedcba9876543210');
    for (const path of [stale, fresh]) await mkdir(path);
    await utimes(stale, 1, 1);
    expect(await sweep(runtime, [folder])).toBe(2);
    expect(removed.sort()).toEqual(['gone', 'reused-pid']);
    expect((await readdir(folder)).filter((name) => name.startsWith('mcp-build-'))).toEqual([
      'mcp-build-fedcba9876543210',
    ]);
    expect(await orphaned(labels({}), here)).toBe(false);
  });
});
