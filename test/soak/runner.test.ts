import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Descriptor, openLayout } from '../../registry/index.ts';
import { engine } from '../../runner/engine.ts';
import { docker, NO_PERMISSIONS, reaper, runContainer } from '../../runner/index.ts';
import { lacking, leftovers, type Stage, stage, until } from '../e2e/runner-fixture.ts';

const reason = lacking();
const RUNS = Number(process.env.SOAK_RUNS ?? 1_000);
const AT_ONCE = Number(process.env.SOAK_AT_ONCE ?? 4);
/** The daemon ends after so many runs, by turns killed and asked to. */
const RESTART = Number(process.env.SOAK_RESTART ?? 100);

describe.skipIf(reason)(`runs that end at any moment${reason ? ` [skipped: ${reason}]` : ''}`, () => {
  let on: Stage;
  let image: Descriptor;
  beforeAll(async () => {
    on = await stage();
    image = await on.shell('echo up; cat');
  });
  afterAll(async () => on?.end());

  const counted = async () => {
    const api = engine(on.runtime.endpoint);
    const [networks, volumes] = await Promise.all([api.request('GET', '/networks'), api.request('GET', '/volumes')]);
    return {
      networks: (JSON.parse(networks.body.toString()) as unknown[]).length,
      volumes: (JSON.parse(volumes.body.toString()) as { Volumes?: unknown[] }).Volumes?.length ?? 0,
    };
  };
  /** Processes that belong to this state folder: runs and their reaper. */
  const processes = async () => {
    const found: string[] = [];
    for (const pid of await readdir('/proc')) {
      if (!/^\d+$/.test(pid)) continue;
      const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      if (line.includes(on.state)) found.push(`${pid} ${line.split('\0').slice(0, 6).join(' ')}`.slice(0, 160));
    }
    return found;
  };

  test(`${RUNS} starts; client, container and daemon are killed`, async () => {
    const before = await counted();
    const ends: Record<string, number> = {};
    let started = 0;
    const once = async () => {
      const run = on.run(image);
      run.stdout.resume();
      run.stderr.resume();
      const over = new Promise<void>((resolve) => run.once('close', () => resolve()));
      const chance = Math.random();
      const moment = Math.random() * 1_500;
      if (chance < 0.6) {
        // From before its first request to long after its start.
        await Promise.race([over, sleep(moment)]);
        run.kill('SIGKILL');
        ends.client = (ends.client ?? 0) + 1;
      } else if (chance < 0.8) {
        await Promise.race([over, sleep(moment)]);
        const [any] = await on.runtime.list({ 'io.mcp-build.role': 'server' }).catch(() => []);
        if (any) await on.runtime.remove(any.name).catch(() => undefined);
        run.stdin.end();
        ends.container = (ends.container ?? 0) + 1;
      } else {
        run.stdin.end();
        ends.itself = (ends.itself ?? 0) + 1;
      }
      const timer = setTimeout(() => run.kill('SIGKILL'), 30_000);
      await over;
      clearTimeout(timer);
    };
    while (started < RUNS) {
      const batch = Math.min(RESTART, RUNS - started);
      let left = batch;
      const signal = (started / RESTART) % 2 === 1 ? 'SIGKILL' : 'SIGTERM';
      const restarting = started > 0 ? sleep(500).then(() => on.daemon.restart(signal)) : Promise.resolve(false);
      await Promise.all(
        Array.from({ length: AT_ONCE }, async () => {
          while (left-- > 0) await once();
        }),
      );
      if (await restarting) ends[`daemon ${signal}`] = (ends[`daemon ${signal}`] ?? 0) + 1;
      started += batch;
    }
    const took = await until(async () => (await leftovers(on)).containers.length === 0, 60_000);
    console.log(`${started} starts, ended by ${JSON.stringify(ends)}; the last was gone after ${Math.round(took)} ms`);
    expect(await leftovers(on)).toEqual({ containers: [], files: [] });
    expect(await counted()).toEqual(before);
    // The reaper stays three seconds after its last run, and up to ten for those that were killed.
    await until(async () => (await processes()).length === 0, 30_000);
  });

  test('50 servers at once, in one process', async () => {
    const echo = await on.shell('cat');
    const runtime = docker(on.runtime.endpoint);
    const store = await openLayout(join(on.folder, 'store'));
    const watcher = reaper({ folder: join(on.state, 'run'), idle: 3_000 });
    const before = { ...(await counted()), files: (await readdir('/proc/self/fd')).length };
    const started = performance.now();
    const up = await Promise.all(
      Array.from({ length: 50 }, async (_, at) => {
        const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
        const ended = runContainer({
          ...{ runtime, store, image: echo, server: { name: `many-${at}` }, permissions: NO_PERMISSIONS },
          ...{ args: [], environment: {}, reaper: watcher, say: () => undefined, streams },
          machine: {
            ...{ home: '/root', state: on.state, run: join(on.state, 'run'), environment: {} },
            ...{ uid: process.getuid?.(), gid: process.getgid?.() },
          },
        });
        streams.stdin.write(`${at}\n`);
        const [answer] = (await Promise.race([
          new Promise((resolve) => streams.stdout.once('data', (data) => resolve([data]))),
          ended.then(() => Promise.reject(new Error('ended'))),
        ])) as [Buffer];
        expect(answer.toString()).toBe(`${at}\n`);
        return { streams, ended };
      }),
    );
    const all = Math.round(performance.now() - started);
    expect(await runtime.list({ 'io.mcp-build.role': 'server' })).toHaveLength(50);
    for (const { streams } of up) streams.stdin.end();
    for (const { ended } of up) expect((await ended).exitCode).toBe(0);
    console.log(`50 servers up and answering after ${all} ms, ${Math.round(process.memoryUsage().rss / 1e6)} MB`);
    await sleep(500);
    expect(await leftovers(on)).toEqual({ containers: [], files: [] });
    const { networks, volumes } = await counted();
    expect({ networks, volumes }).toEqual({ networks: before.networks, volumes: before.volumes });
    // Node keeps the connections it had at once for a while.
    await until(async () => (await readdir('/proc/self/fd')).length <= before.files + 60, 10_000);
  });
});
