import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { median } from '../bench/measure.ts';

const CALLS = Number(process.env.SOAK_CALLS ?? 2_000_000);
const SESSIONS = Number(process.env.SOAK_SESSIONS ?? 10_000);
const SLICE = process.env.SOAK_SLICE ?? '20';
const HERE = join(import.meta.dirname, '../bench/gateway');
const TOKEN = 'bench-token';

test('calls without end, and clients that never come back, cost no memory', async () => {
  const child = spawn(process.execPath, ['--no-warnings', join(HERE, 'ours.ts'), '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const base = await new Promise<string>((resolve) =>
      child.stdout.once('data', (said: Buffer) => resolve(`${said}`.trim())),
    );
    const url = `${base}/echo/mcp`;
    const resident = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]);
    await load(url);
    const before = resident();
    for (let at = 0; at < SESSIONS; at += 50)
      await Promise.all(Array.from({ length: Math.min(50, SESSIONS - at) }, () => abandon(url)));
    const held = (resident() - before) / SESSIONS;
    const memory: number[] = [];
    let calls = 0;
    while (calls < CALLS || memory.length < 8) {
      const done = await load(url);
      expect(done.wrong).toBe(0);
      calls += done.calls;
      // Clients come and go all the while: those unheard of for longest make room.
      await Promise.all(Array.from({ length: 50 }, () => abandon(url)));
      memory.push(resident());
    }
    const quarter = Math.floor(memory.length / 4);
    const [early, late] = [median(memory.slice(quarter, 2 * quarter)), median(memory.slice(-quarter))];
    console.log(
      `${calls} calls, ${SESSIONS} abandoned sessions at ${held.toFixed(1)} kB each; ${early} kB, then ${late} kB`,
    );
    expect(late / early).toBeLessThan(1.1);
    expect(held).toBeLessThan(60);
  } finally {
    child.kill('SIGKILL');
  }
});

async function load(url: string): Promise<{ readonly calls: number; readonly wrong: number }> {
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--no-warnings',
    ...[join(HERE, 'load.ts'), url, '16', SLICE, '200', TOKEN],
  ]);
  return JSON.parse(stdout) as { calls: number; wrong: number };
}

async function abandon(url: string): Promise<void> {
  const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'gone', version: '1' } };
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      authorization: `Bearer ${TOKEN}`,
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params }),
  });
  expect(response.status).toBe(200);
  await response.text();
}
