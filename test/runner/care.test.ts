import { mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { daemonChecks } from '../../runner/doctor.ts';
import {
  diagnose,
  docker,
  findServers,
  listServers,
  measureServer,
  newestLog,
  openLog,
  type Reaper,
  readLog,
  runContainer,
  stopServer,
} from '../../runner/index.ts';
import { fixture, text } from './fixture.ts';

const GOOD = {
  swapLimit: true,
  security: ['seccomp', 'apparmor'],
  cpus: 2,
  version: '27.1.0',
  os: 'linux',
  architecture: 'x86_64',
  memoryLimit: true,
  pidsLimit: true,
  cpuLimit: true,
  init: 'docker-init',
};

describe('running servers', () => {
  test('are listed, found and stopped by their name', async () => {
    const on = await fixture({
      program: async ({ stdout, killed }) => {
        await stdout('up');
        await killed;
        return 143;
      },
    });
    const { runtime } = on.options;
    let container = '';
    const run = runContainer({ ...on.options, onStarted: (name) => (container = name) });
    await new Promise((resolve) => on.streams.stdout.once('data', resolve));
    const [one] = await listServers(runtime);
    expect(one).toMatchObject({
      container,
      server: 'fixture',
      version: '1.0.0',
      digest: on.image.digest,
      state: 'running',
      owner: { pid: process.pid, gone: false },
    });
    expect(await findServers(runtime, 'fixture')).toHaveLength(1);
    expect(await findServers(runtime, container)).toHaveLength(1);
    await expect(findServers(runtime, 'other')).rejects.toMatchObject({ code: 'not-running' });
    await stopServer(runtime, one!);
    expect(await run).toMatchObject({ exitCode: 143 });
    expect(await listServers(runtime)).toEqual([]);
    await on.end();
  });

  test('are measured', async () => {
    let cpu = 0;
    const usage = async () => {
      cpu += 1e8;
      return { memory: 1, memoryLimit: 2, cpu, pids: 3 };
    };
    const { load, pids } = await measureServer({ usage }, 'x', 100);
    expect(pids).toBe(3);
    expect(load).toBeGreaterThan(0.1);
    expect(load).toBeLessThan(1.1);
  });
});

describe('the newest log of a server', () => {
  test('is of that server, and of no other whose name begins like it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'newest-'));
    const names = ['memory-00000001', 'memory-00000002', 'memory-more-00000003', 'memory-x', 'keeper-memory'];
    for (const [at, name] of names.entries()) {
      await writeFile(join(folder, `mcp-build-${name}.log`), 'x');
      await utimes(join(folder, `mcp-build-${name}.log`), at, at === 1 ? 50 : 100 + at);
    }
    expect(await newestLog(folder, 'memory')).toBe('mcp-build-memory-00000001');
    await utimes(join(folder, 'mcp-build-memory-00000002.log'), 0, 900);
    expect(await newestLog(folder, 'Memory')).toBe('mcp-build-memory-00000002');
    expect(await newestLog(folder, 'other')).toBeUndefined();
    expect(await newestLog(join(folder, 'missing'), 'memory')).toBeUndefined();
    await rm(folder, { recursive: true });
  });
});

describe('a log', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'log-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test('keeps the end of what was written, in a bounded place of its user alone', async () => {
    const log = await openLog(join(folder, 'logs'), 'mcp-build-a-1', 1_000);
    for (let turn = 0; turn < 500; turn += 1) log.write(Buffer.from(`line ${turn}\n`));
    await log.close();
    const lines = (await text(readLog(join(folder, 'logs'), 'mcp-build-a-1'))).trim().split('\n');
    expect(lines.at(-1)).toBe('line 499');
    expect(lines.length).toBeGreaterThan(50);
    const sizes = await Promise.all(
      (await readdir(join(folder, 'logs'))).map(async (name) => stat(join(folder, 'logs', name))),
    );
    for (const { size, mode } of sizes) {
      expect(size).toBeLessThanOrEqual(1_000);
      expect(mode & 0o777).toBe(0o600);
    }
  });

  test('of the last hundred containers is kept', async () => {
    for (let turn = 0; turn < 105; turn += 1) await (await openLog(folder, `mcp-build-a-${turn}`)).close();
    expect((await readdir(folder)).length).toBe(100);
  });

  test.each(['mcp-build-none', '../../etc/passwd', 'mcp-build-../x', ''])('of "%s" is missing', async (name) => {
    await expect(text(readLog(folder, name))).rejects.toMatchObject({ code: 'log-missing' });
  });
});

describe('the doctor', () => {
  const machine = { uid: 1000 };
  const statusOf = (id: string, change: Partial<typeof GOOD>) =>
    daemonChecks({ ...GOOD, ...change }, machine).find((check) => check.id === id)?.status;

  test('finds nothing wrong where nothing is', () => {
    expect(daemonChecks(GOOD, machine).filter(({ status }) => status !== 'ok')).toEqual([]);
  });

  test.each<[string, Partial<typeof GOOD>, 'warn' | 'fail']>([
    ['docker-version', { version: '19.3.0' }, 'fail'],
    ['docker-version', { version: '' }, 'fail'],
    ['containers', { os: 'windows' }, 'fail'],
    ['seccomp', { security: ['apparmor'] }, 'fail'],
    ['mandatory-access', { security: ['seccomp'] }, 'warn'],
    ['limits', { memoryLimit: false }, 'fail'],
    ['limits', { pidsLimit: false }, 'fail'],
    ['swap', { swapLimit: false }, 'warn'],
    ['init', { init: '' }, 'fail'],
    ['rootless', { security: ['seccomp', 'rootless'] }, 'warn'],
  ])('sees %s in %j', (id, change, status) => {
    expect(statusOf(id, change)).toBe(status);
  });

  test('says everything else, too, when there is no daemon', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'doctor-'));
    const broken: Reaper = {
      guard: () => Promise.reject(Object.assign(new Error('no'), { fix: 'yes' })),
    };
    const checks = await diagnose(
      docker({ kind: 'unix', path: join(folder, 'none.sock') }),
      { home: folder, state: folder, run: folder, environment: {}, uid: 1, gid: 1 },
      broken,
    );
    expect(checks.map(({ id, status }) => `${id} ${status}`)).toEqual(
      expect.arrayContaining([
        'docker fail',
        'reaper fail',
        expect.stringMatching(/^private-memory/),
        expect.stringMatching(/^disk/),
      ]),
    );
    for (const { status, fix } of checks) if (status === 'fail') expect(fix).toBeTruthy();
    await rm(folder, { recursive: true });
  });

  test('asks a daemon that is there', async () => {
    const on = await fixture({
      info: {
        ServerVersion: '20.10.24',
        MemoryLimit: true,
        PidsLimit: true,
        CpuCfsQuota: true,
        InitBinary: 'docker-init',
      },
    });
    const checks = await diagnose(on.options.runtime, on.machine, on.options.reaper);
    expect(checks.filter(({ status }) => status === 'fail')).toEqual([]);
    expect(checks.map(({ id }) => id)).toEqual(
      expect.arrayContaining([
        'docker',
        'docker-version',
        'seccomp',
        'limits',
        'reaper',
        'leftovers',
        'private-memory',
      ]),
    );
    await on.end();
  });
});
