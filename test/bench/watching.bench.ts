import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import { expect, test } from 'vitest';
import type { Call, Observer } from '../../gateway/index.ts';
import { activity, metrics, openAuditLog, pages, patterns, recorder } from '../../gateway/index.ts';
import { commandPath, describeWith } from '../e2e/harness/needs.ts';
import { startCollector } from '../fakes/otlp-collector.ts';
import { fakeServer, runGateway } from '../gateway/gateway.ts';
import { median, report } from './measure.ts';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
const SECONDS = process.env.BENCH_SECONDS ?? '2';
const CALLS = Number(process.env.BENCH_CALLS ?? 1_000_000);
const HERE = join(import.meta.dirname, 'gateway');

interface Measured {
  readonly perSecond: number;
  /** Processor time of the gateway for a call, in microseconds. */
  readonly cpu: number;
}

/** One gateway under load, from its start to its end. */
async function measure(what: string, collector: string): Promise<Measured> {
  const folder = await mkdtemp(join(tmpdir(), 'watching-bench-'));
  const child = spawn(process.execPath, ['--no-warnings', join(HERE, 'watched.ts'), '0', folder, what], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, OTEL_EXPORTER_OTLP_ENDPOINT: collector, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf' },
  });
  try {
    const url = await new Promise<string>((resolve, reject) => {
      createInterface({ input: child.stdout as NodeJS.ReadableStream }).once('line', resolve);
      child.once('exit', (code) => reject(new Error(`it ended with ${code}`)));
    });
    const load = async (seconds: string) => {
      const args = [join(HERE, 'load.ts'), `${url}/echo/mcp`, '16', seconds, '100', 'bench-token'];
      const { stdout } = await promisify(execFile)(process.execPath, ['--no-warnings', ...args]);
      return JSON.parse(stdout) as { perSecond: number; calls: number; wrong: number };
    };
    await load('1');
    const before = ticks(child);
    const said = await load(SECONDS);
    expect(said.wrong).toBe(0);
    const share = Number(SECONDS) / (Number(SECONDS) + 0.5);
    return { perSecond: said.perSecond, cpu: ((ticks(child) - before) * 10_000 * share) / said.calls };
  } finally {
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGKILL');
    await ended;
    await rm(folder, { recursive: true, force: true });
  }
}

function ticks({ pid }: ChildProcess): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

test('what watching costs of the calls a second', async () => {
  await using collector = await startCollector();
  const results = new Map<string, Measured[]>();
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const what of ['none', 'metrics', 'all', 'traces']) {
      results.set(what, [...(results.get(what) ?? []), await measure(what, collector.url)]);
    }
  }
  const of = (what: string, field: keyof Measured) => (results.get(what) ?? []).map((each) => each[field]);
  for (const what of results.keys()) {
    console.log(
      `${what.padEnd(8)} ${median(of(what, 'perSecond')).toFixed(0).padStart(6)} calls/s  ${median(of(what, 'cpu')).toFixed(0)} µs of CPU a call`,
    );
  }
  // Round by round, so that a machine that gets slower is so for all of them.
  const lost = (what: string) =>
    median(of(what, 'perSecond').map((each, at) => 1 - each / (of('none', 'perSecond')[at] ?? Number.NaN)));
  report(`load ${loadavg()[0]?.toFixed(1)}, ${ROUNDS} rounds of ${SECONDS} s, 16 clients, 100 B`, [
    { what: 'of the calls a second: metrics, figures and patterns', measured: 100 * lost('metrics'), unit: '%' },
    { what: 'of the calls a second: and the audit log', measured: 100 * lost('all'), target: 25, unit: '%' },
    { what: 'of the calls a second: and traces', measured: 100 * lost('traces'), unit: '%' },
  ]);
  expect(lost('all')).toBeLessThan(0.25);
});

describeWith(['chromium'], 'the status page', () => {
  test(`opens with 200 servers and ${CALLS} calls in the log`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'watching-page-'));
    const log = await openAuditLog({ folder });
    const counted = metrics();
    const seen = activity();
    const observer = recorder({ metrics: counted, log, also: [seen, patterns({ tell: () => undefined })] });
    const names = Array.from({ length: 200 }, (_, at) => `server-${at}`);
    const servers = Object.fromEntries(names.map((name) => [name, { options: { lazy: true } }]));
    const held: { gateway?: Awaited<ReturnType<typeof runGateway>>['gateway'] } = {};
    const running = await runGateway({
      servers,
      prepare: () => ({ open: fakeServer(), digest: `sha256:${'ab'.repeat(32)}` }),
      options: {
        observer,
        pages: pages({
          metrics: counted,
          activity: seen,
          log,
          servers: () => held.gateway?.servers() ?? [],
          control: async () => false,
          say: () => undefined,
        }),
      },
    });
    held.gateway = running.gateway;
    const began = performance.now();
    await fill(observer, names);
    const filled = (performance.now() - began) / 1000;
    const args = ['--no-sandbox', '--disable-dev-shm-usage'];
    const browser = await chromium.launch({ executablePath: commandPath('chromium') ?? '', args });
    try {
      const times: number[] = [];
      for (let round = -1; round < ROUNDS; round += 1) {
        const page = await browser.newPage();
        const start = performance.now();
        await page.goto(`${running.url}/_status`);
        await page.waitForFunction(() => document.querySelectorAll('article').length === 200);
        // The first has the browser itself to start up.
        if (round >= 0) times.push((performance.now() - start) / 1000);
        await page.close();
      }
      const scrape = performance.now();
      const text = await (await fetch(`${running.url}/_metrics`)).text();
      report(`${CALLS} calls recorded in ${filled.toFixed(0)} s, ${log.head().n} records`, [
        { what: 'to open the page and see every server', measured: median(times), target: 1, unit: 's' },
        {
          what: `to read ${Math.round(text.length / 1024)} kB of metrics`,
          measured: (performance.now() - scrape) / 1000,
          unit: 's',
        },
      ]);
      expect(median(times)).toBeLessThan(1);
    } finally {
      await browser.close();
      await running[Symbol.asyncDispose]();
      await log.close();
      await rm(folder, { recursive: true, force: true });
    }
  });
});

/** Calls of every server and of many tools, recorded as real ones are. */
async function fill(observer: Observer, names: readonly string[]): Promise<void> {
  for (let at = 0; at < CALLS; at += 1) {
    const call: Call = {
      client: { id: 'bench', name: 'bench' },
      server: names[at % names.length] as string,
      digest: `sha256:${'ab'.repeat(32)}`,
      method: 'tools/call',
      target: `tool_${(at * 7) % 15}`,
      size: 200,
    };
    const begun = observer.begin(call, () => undefined);
    observer.end(
      call,
      begun,
      { kind: at % 50 === 0 ? 'failed' : 'answered', size: 900, duration: at % 90 },
      () => undefined,
    );
    if (at % 5_000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await new Promise((resolve) => setImmediate(resolve));
}
