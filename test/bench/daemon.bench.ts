import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { daemonClient } from '../../gateway/index.ts';
import { fakeServer, runGateway, textOf } from '../gateway/gateway.ts';
import { median, report } from './measure.ts';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 20);
/** Calls of one round, one after another. */
const CALLS = 200;
const PROCESS = fileURLToPath(new URL('./gateway/daemon-process.ts', import.meta.url));

test('a call through a daemon beside one to a child of the gateway', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'daemon-bench-'));
  const socket = join(folder, 'daemon.sock');
  const child = spawn(process.execPath, ['--no-warnings', PROCESS, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await once(child.stdout, 'data');
    const open = { own: fakeServer(), split: daemonClient(socket).channel('fake', {}) };
    await using running = await runGateway({
      servers: { own: {}, split: {} },
      prepare: (name) => ({ open: open[name as keyof typeof open] }),
    });
    const sessions = { own: await running.session('own'), split: await running.session('split') };
    const message = 'x'.repeat(200);
    const round = async (name: keyof typeof open): Promise<number> => {
      const begun = performance.now();
      for (let call = 0; call < CALLS; call += 1) {
        expect(textOf(await running.call(name, sessions[name], 'echo', { message }))).toBe(message);
      }
      return (performance.now() - begun) / CALLS;
    };
    await round('own');
    await round('split');
    const more: number[] = [];
    const before = await processorTime(child.pid ?? 0);
    for (let at = 0; at < ROUNDS; at += 1) {
      const own = await round('own');
      more.push((await round('split')) - own);
    }
    const used = (await processorTime(child.pid ?? 0)) - before;
    const memory = Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
    report('a daemon between gateway and server', [
      { what: 'a call of 200 bytes takes longer', measured: median(more), target: 0.2, unit: 'ms' },
      { what: 'processor time of the daemon for it', measured: used / (ROUNDS * CALLS), unit: 'ms' },
      { what: 'memory of the daemon, from sources', measured: memory, unit: 'MB' },
    ]);
  } finally {
    child.kill('SIGTERM');
    await rm(folder, { recursive: true, force: true });
  }
}, 600_000);

/** In milliseconds: fields 14 and 15 of proc(5), in ticks of ten. It means something on a busy machine, too. */
async function processorTime(pid: number): Promise<number> {
  const line = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
