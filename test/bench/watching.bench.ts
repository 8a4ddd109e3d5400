import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { expect, test } from 'vitest';
import type { Call, Observer } from '../../gateway/index.ts';
import { activity, metrics, openAuditLog, pages, patterns, recorder } from '../../gateway/index.ts';
import { commandPath, describeWith } from '../e2e/harness/needs.ts';
import { startCollector } from '../fakes/otlp-collector.ts';
import { fakeServer, runGateway } from '../gateway/gateway.ts';
import { answers, freePort, tbxarkCommand } from './gateway/peers.ts';
import { median, report } from './measure.ts';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
const SECONDS = Number(process.env.BENCH_SECONDS ?? 2);
/** In milliseconds. */
const SLICE = 200;
const CLIENTS = 16;
const CALLS = Number(process.env.BENCH_CALLS ?? 1_000_000);
/** With nothing that watches it: it has nothing. */
const THEM = 'TBXark’s mcp-proxy';
const TBXARK = process.env.MCP_BUILD_BENCH_TBXARK;
const HERE = join(import.meta.dirname, 'gateway');

interface Measured {
  readonly perSecond: number;
  /** Processor time of the gateway for a call, in microseconds. */
  readonly cpu: number;
}

interface Loaded extends AsyncDisposable {
  /** Under load of all its clients for so many milliseconds. */
  measure(milliseconds: number): Promise<Measured>;
}

async function start(what: string, collector: string): Promise<Loaded> {
  const folder = await mkdtemp(join(tmpdir(), 'watching-bench-'));
  const port = await freePort();
  const [program = '', ...args] =
    what === THEM
      ? tbxarkCommand(TBXARK ?? '', port, [process.execPath, '--no-warnings', join(HERE, 'echo.ts')])
      : [process.execPath, '--no-warnings', join(HERE, 'watched.ts'), `${port}`, folder, what];
  const child = spawn(program, args, {
    stdio: ['ignore', 'ignore', what === THEM ? 'ignore' : 'inherit'],
    env: { ...process.env, OTEL_EXPORTER_OTLP_ENDPOINT: collector, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf' },
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const agent = new http.Agent({ keepAlive: true, maxSockets: CLIENTS });
  const stop = async () => {
    agent.destroy();
    child.kill('SIGKILL');
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const url = `http://127.0.0.1:${port}/echo/mcp`;
    await answers(url, child);
    const clients: ((mark: string) => Promise<string>)[] = [];
    for (let at = 0; at < CLIENTS; at += 1) clients.push(await client(new URL(url), agent));
    return {
      async measure(milliseconds) {
        const [began, before] = [performance.now(), processorTime(child)];
        let calls = 0;
        const one = async (call: (mark: string) => Promise<string>) => {
          while (performance.now() - began < milliseconds) {
            calls += 1;
            const mark = `${calls}:`;
            if (!(await call(mark)).includes(`"${mark}`)) throw new Error('the answer is another’s');
          }
        };
        await Promise.all(clients.map(one));
        return {
          perSecond: (calls * 1000) / (performance.now() - began),
          cpu: (processorTime(child) - before) / calls,
        };
      },
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A client with a session of its own, which calls echo. */
async function client(url: URL, agent: http.Agent): Promise<(mark: string) => Promise<string>> {
  const post = (body: object, more: Readonly<Record<string, string>>) =>
    new Promise<{ readonly text: string; readonly session: string }>((resolve, reject) => {
      const headers = {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        authorization: 'Bearer bench-token',
        ...more,
      };
      const request = http.request(url, { method: 'POST', agent, headers }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => {
          text += part;
        });
        response.on('end', () => resolve({ text, session: String(response.headers['mcp-session-id']) }));
      });
      request.on('error', reject);
      request.end(JSON.stringify({ jsonrpc: '2.0', ...body }));
    });
  const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'load', version: '1' } };
  const { session } = await post({ id: 0, method: 'initialize', params }, {});
  const own = { 'mcp-session-id': session, 'mcp-protocol-version': '2025-06-18' };
  await post({ method: 'notifications/initialized' }, own);
  let id = 0;
  return async (mark) => {
    id += 1;
    const message = mark.padEnd(100, 'x');
    return (await post({ id, method: 'tools/call', params: { name: 'echo', arguments: { message } } }, own)).text;
  };
}

/** Of all threads, in microseconds. */
function processorTime({ pid }: ChildProcess): number {
  const threads = `/proc/${pid}/task`;
  const times = readdirSync(threads).map((thread) => readFileSync(`${threads}/${thread}/schedstat`, 'utf8'));
  return times.reduce((sum, text) => sum + Number(text.split(' ')[0]) / 1000, 0);
}

test('what watching costs of the calls a second', async () => {
  await using collector = await startCollector();
  await using all = new AsyncDisposableStack();
  const gateways: { readonly what: string; readonly loaded: Loaded }[] = [];
  const results = new Map<string, Measured[]>();
  for (const what of ['none', 'metrics', 'all', 'traces', ...(TBXARK ? [THEM] : [])]) {
    const loaded = all.use(await start(what, collector.url));
    gateways.push({ what, loaded });
    results.set(what, []);
    // Compiled for speed only after some ten thousand calls: until then a gateway costs twice as much, watched or not.
    await loaded.measure(3_000);
  }
  // All live at once and are loaded in turn, there and back, for a moment each: what else the machine does meets them alike.
  const slices = Math.ceil((ROUNDS * SECONDS * 1000) / SLICE);
  for (let slice = 0; slice < slices; slice += 1) {
    for (const { what, loaded } of slice % 2 === 0 ? gateways : gateways.toReversed()) {
      results.get(what)?.push(await loaded.measure(SLICE));
    }
  }
  const of = (what: string, field: keyof Measured) => (results.get(what) ?? []).map((each) => each[field]);
  for (const what of results.keys()) {
    console.log(
      `${what.padEnd(18)} ${median(of(what, 'perSecond')).toFixed(0).padStart(6)} calls/s  ${median(of(what, 'cpu')).toFixed(0)} µs of CPU a call`,
    );
  }
  // Slice by slice, so that a machine that gets slower is so for all of them.
  const lost = (what: string) =>
    median(of(what, 'perSecond').map((each, at) => 1 - each / (of('none', 'perSecond')[at] ?? Number.NaN)));
  report(
    `load ${loadavg()[0]?.toFixed(1)}, ${ROUNDS * SECONDS} s of each in slices of ${SLICE} ms, ${CLIENTS} clients, 100 B`,
    [
      { what: 'of the calls a second: metrics, figures and patterns', measured: 100 * lost('metrics'), unit: '%' },
      { what: 'of the calls a second: and the audit log', measured: 100 * lost('all'), target: 25, unit: '%' },
      { what: 'of the calls a second: and traces', measured: 100 * lost('traces'), unit: '%' },
    ],
  );
  if (TBXARK) {
    const times = median(of('all', 'perSecond').map((each, at) => each / (of(THEM, 'perSecond')[at] ?? Number.NaN)));
    console.log(`with the audit log and the figures, ${times.toFixed(2)} × the calls of ${THEM} (goal 1)`);
  } else console.log(`${THEM} is left out: MCP_BUILD_BENCH_TBXARK names no program`);
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
