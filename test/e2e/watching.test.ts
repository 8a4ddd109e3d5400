import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  exporter,
  hashToken,
  type Identity,
  metrics,
  openAuditLog,
  recorder,
  type TracingConfig,
  tracer,
  tracingConfig,
  verifyAuditLog,
} from '../../gateway/index.ts';
import { startCollector } from '../fakes/otlp-collector.ts';
import { type Answer, fakeServer, runGateway } from '../gateway/gateway.ts';
import { runWatched, type Watched } from '../gateway/watching/watched.ts';
import { commandPath, describeWith, toolCache } from './harness/needs.ts';

const run = promisify(execFile);
const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;
const PROTO = 'opentelemetry-proto==1.38.0';
const HOSTILE = '<img src=x onerror="document.title=\'taken over\'"><script>alert(1)</script>';
const ROOT: Identity = { id: 'root0000', name: 'root', expires: undefined, servers: undefined, tools: undefined };

let browser: Browser;
let folder: string;

/** Calls that succeed, that fail, of many tools, of a tool with a hostile name; and a server that can't be started. */
async function busy(): Promise<Watched> {
  const watched = await runWatched(
    {
      servers: { files: {}, search: {}, broken: {} },
      fake: { broken: { dieAtStart: true } },
      prepare: (name) => ({ open: fakeServer(name === 'broken' ? { dieAtStart: true } : {}), digest: DIGEST }),
    },
    new Map([[hashToken('mcpb_root'), ROOT]]),
  );
  const headers = { authorization: 'Bearer mcpb_root' };
  for (const server of ['files', 'search']) {
    const session = await watched.session(server, headers);
    for (const name of ['echo', 'echo', 'seen', 'fail', HOSTILE]) {
      const body = { jsonrpc: '2.0', id: Math.random(), method: 'tools/call', params: { name, arguments: {} } };
      await (await watched.post(server, body, { ...headers, 'mcp-session-id': session })).text();
    }
  }
  return watched;
}

async function open(
  watched: Watched,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; elsewhere: string[]; errors: string[] }> {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const elsewhere: string[] = [];
  const errors: string[] = [];
  page.on('request', (request) => {
    if (!request.url().startsWith(watched.url) && !request.url().startsWith('data:')) elsewhere.push(request.url());
  });
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => {
    // A refused token is said by the browser itself.
    if (message.type() === 'error' && !message.text().includes('401')) errors.push(message.text());
  });
  await page.goto(`${watched.url}/_status`);
  return { page, elsewhere, errors };
}

async function enter(page: Page): Promise<void> {
  await page.getByLabel('Token').fill('mcpb_root');
  await page.getByRole('button', { name: 'Show' }).click();
  await page.getByRole('heading', { name: 'files' }).waitFor();
}

/** Kept where a person asked to look at them. */
async function picture(page: Page, name: string): Promise<void> {
  const into = process.env.SCREENSHOTS ?? folder;
  await mkdir(into, { recursive: true });
  await page.screenshot({ path: join(into, `${name}.png`), fullPage: true });
}

describeWith(['chromium'], 'the status page', () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'status-page-'));
    // Root's browser has no sandbox of its own; what it shows here is ours.
    const args = ['--no-sandbox', '--disable-dev-shm-usage'];
    browser = await chromium.launch({ executablePath: commandPath('chromium')!, args });
  });
  afterAll(async () => {
    await browser?.close();
    await rm(folder, { recursive: true, force: true });
  });

  test.each([
    ['phone', 'light', { width: 360, height: 740 }],
    ['phone', 'dark', { width: 360, height: 740 }],
    ['desktop', 'light', { width: 1280, height: 900 }],
    ['desktop', 'dark', { width: 1280, height: 900 }],
  ] as const)('shows servers, digests, tools and calls on a %s in %s', async (device, colorScheme, viewport) => {
    await using watched = await busy();
    const { page, elsewhere, errors } = await open(watched, { colorScheme, viewport });
    await enter(page);
    const files = page.getByRole('article').filter({ has: page.getByRole('heading', { name: 'files' }) });
    await files.getByText('running').waitFor();
    expect(await files.textContent()).toContain('verified sha256:0123456789ab');
    await files.getByText(/tools called/).click();
    expect(await files.getByRole('row').filter({ hasText: 'echo' }).textContent()).toMatch(/echo2/);
    // Calls and their times over the last hour.
    await files.getByRole('img', { name: /^5 calls in the last hour, [1-5] a minute at most$/ }).waitFor();
    await files.getByRole('img', { name: /^Calls of the last hour took \d+ ms, \d+ ms at most$/ }).waitFor();
    // What strangers named is shown as they wrote it, and does nothing.
    expect(await files.getByRole('row').filter({ hasText: 'onerror' }).textContent()).toContain(HOSTILE);
    expect(await files.locator('path.calls').getAttribute('d')).toMatch(/^M[\d.]+ 20v-[\d.]+h\.8V20z/);
    expect(await page.title()).toBe('mcp-build gateway');
    await page.getByRole('article').filter({ hasText: 'broken' }).getByText('failing').waitFor();
    expect(await page.getByRole('status').textContent()).toBe('2 of 3 servers running, 1 failing');
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    expect(wide).toBeLessThanOrEqual(0);
    await picture(page, `busy-${device}-${colorScheme}`);
    expect(elsewhere).toEqual([]);
    expect(errors).toEqual([]);
  });

  test.each(['light', 'dark'] as const)('has enough contrast in %s', async (colorScheme) => {
    await using watched = await busy();
    const { page } = await open(watched, { colorScheme });
    await enter(page);
    const poor = await page.evaluate(() => {
      const parts = (color: string) => (color.match(/[\d.]+/g) ?? []).map(Number);
      const light = (color: string) => {
        const [r = 0, g = 0, b = 0] = parts(color).map((part) =>
          part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4,
        );
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const ground = (element: Element | null): string => {
        for (let at = element; at; at = at.parentElement) {
          const { backgroundColor } = getComputedStyle(at);
          if (parts(backgroundColor)[3] !== 0) return backgroundColor;
        }
        return 'rgb(255,255,255)';
      };
      const found: string[] = [];
      for (const element of document.querySelectorAll('body *')) {
        const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent?.trim());
        if (!text || element.closest('[hidden], script, style')) continue;
        const [a, b] = [light(getComputedStyle(element).color), light(ground(element))].sort((x, y) => y - x) as [
          number,
          number,
        ];
        if ((a + 0.05) / (b + 0.05) < 4.5)
          found.push(`${element.tagName} ${element.className} ${(a + 0.05) / (b + 0.05)}`);
      }
      return found;
    });
    expect(poor).toEqual([]);
  });

  test('is used by keyboard alone', async () => {
    await using watched = await busy();
    const { page } = await open(watched);
    await page.getByText('A token is needed').waitFor();
    // The field has the focus already.
    await page.keyboard.type('mcpb_root');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'files' }).waitFor();
    page.on('dialog', (dialog) => void dialog.accept());
    for (let step = 0; step < 40; step += 1) {
      await page.keyboard.press('Tab');
      const name = await page.evaluate(() => document.activeElement?.getAttribute('aria-label'));
      if (name === 'Stop files') break;
    }
    expect(await page.evaluate(() => getComputedStyle(document.activeElement!).outlineStyle)).not.toBe('none');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Start files', exact: true }).waitFor();
    expect(watched.gateway.servers().find(({ name }) => name === 'files')?.state).toBe('held');
    // The reading every two seconds takes the focus from nobody.
    const focused = () => page.evaluate(() => document.activeElement?.textContent);
    await page.getByRole('button', { name: 'Start files', exact: true }).focus();
    await page.waitForTimeout(2500);
    expect(await focused()).toBe('Start');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Stop files' }).waitFor();
  });

  test.each([
    ['phone', 'dark', { width: 360, height: 740 }],
    ['desktop', 'light', { width: 1280, height: 900 }],
  ] as const)('finds one of two hundred servers by keyboard, on a %s in %s', async (device, colorScheme, viewport) => {
    const names = Array.from({ length: 200 }, (_, at) => `server-${at}`);
    await using watched = await runWatched({
      servers: Object.fromEntries(names.map((name) => [name, { options: { lazy: true } }])),
      fake: { 'server-77': { dieAtStart: true } },
    });
    const session = await watched.session('server-123');
    await watched.call('server-123', session, 'echo', { message: 'x' });
    await watched.session('server-77').catch(() => undefined);
    const { page, errors } = await open(watched, { viewport, colorScheme });
    const shown = () => page.locator('article:not([hidden]) h3 span:first-child').allTextContents();
    await page.getByRole('heading', { name: 'server-199' }).waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('ECHO run');
    expect(await shown()).toEqual(['server-123']);
    await page.getByText('1 of 200 shown').waitFor();
    // A reading shows no card that isn't asked for, and leaves the field as it is.
    await page.waitForTimeout(2500);
    expect(await shown()).toEqual(['server-123']);
    await picture(page, `found-${device}-${colorScheme}`);
    await page.keyboard.press('Escape');
    expect(await shown()).toHaveLength(200);
    await page.keyboard.type('failing');
    expect(await shown()).toEqual(['server-77']);
    await page.keyboard.press('Escape');
    await page.keyboard.type('/server-19');
    expect(await shown()).toEqual([]);
    await picture(page, `not-found-${device}-${colorScheme}`);
    expect(errors).toEqual([]);
  });

  test('says so where there are no servers, and where the gateway is gone', async () => {
    const watched = await runWatched({ servers: {} });
    const { page } = await open(watched, { viewport: { width: 360, height: 740 } });
    await page.getByText('No servers are configured').waitFor();
    await picture(page, 'empty');
    await watched[Symbol.asyncDispose]();
    await page.getByText(/can’t be reached/).waitFor({ timeout: 15_000 });
    await picture(page, 'gone');
  });

  test('keeps a wrong token out, and forgets a right one', async () => {
    await using watched = await busy();
    const { page } = await open(watched);
    await page.getByLabel('Token').fill('mcpb_wrong');
    await page.getByRole('button', { name: 'Show' }).click();
    await page.getByText('This token may not see the status').waitFor();
    await picture(page, 'refused');
    await enter(page);
    expect(page.url()).not.toContain('mcpb_');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Token').waitFor();
    expect(await page.evaluate(() => [sessionStorage.length, localStorage.length, document.cookie])).toEqual([
      0,
      0,
      '',
    ]);
  });

  test('its policy lets nothing else in', async () => {
    await using watched = await busy();
    const response = await fetch(`${watched.url}/_status`);
    const policy = response.headers.get('content-security-policy') ?? '';
    expect(policy).toMatch(/default-src 'none'/);
    expect(policy).not.toMatch(/unsafe|\*|https?:/);
    const { page } = await open(watched);
    const refused = await page.evaluate(async () => {
      const script = document.createElement('script');
      let ran = true;
      try {
        script.textContent = 'window.injected = true';
        document.body.append(script);
        ran = 'injected' in window;
      } catch {
        ran = false;
      }
      const fetched = await fetch('http://127.0.0.1:9/').then(
        () => true,
        () => false,
      );
      return { ran, fetched };
    });
    expect(refused).toEqual({ ran: false, fetched: false });
  });
});

describeWith(['root', 'mount'], 'the audit log on a disk that is full', () => {
  test('lets no call through, loses none that was answered, and goes on when there is room', async () => {
    const disk = await mkdtemp(join(tmpdir(), 'full-disk-'));
    await run('mount', ['-t', 'tmpfs', '-o', 'size=96k', 'none', disk]);
    try {
      await using watched = await runWatched({}, new Map(), join(disk, 'audit'));
      const session = await watched.session('fake');
      let answered = 0;
      let refused: Answer | undefined;
      for (let at = 0; at < 2000 && !refused; at += 1) {
        const answer = await watched.call('fake', session, 'echo', { message: 'x' });
        if (answer.error) refused = answer;
        else answered += 1;
      }
      expect(refused?.error).toMatchObject({ code: -32000 });
      expect(answered).toBeGreaterThan(20);
      expect((await watched.call('fake', session, 'echo', { message: 'x' })).error).toMatchObject({ code: -32000 });
      const done = async () => (await watched.records()).filter(({ outcome }) => outcome === 'answered').length;
      expect(await done()).toBeGreaterThanOrEqual(answered);
      expect((await verifyAuditLog(watched.folder)).faults).toEqual([]);
      await run('mount', ['-o', 'remount,size=1m', disk]);
      expect((await watched.call('fake', session, 'echo', { message: 'x' })).error).toBeUndefined();
      expect(await done()).toBeGreaterThanOrEqual(answered + 1);
      expect((await verifyAuditLog(watched.folder)).faults).toEqual([]);
    } finally {
      await run('umount', ['-l', disk]);
      await rm(disk, { recursive: true, force: true });
    }
  });
});

describeWith(['root', 'mount'], 'the audit log on a disk that can’t be written', () => {
  test('lets no gateway start', async () => {
    const disk = await mkdtemp(join(tmpdir(), 'read-only-'));
    await run('mount', ['-t', 'tmpfs', '-o', 'size=96k,ro', 'none', disk]);
    try {
      await expect(openAuditLog({ folder: disk })).rejects.toMatchObject({
        code: 'audit-log-unwritable',
        message: expect.stringContaining('EROFS'),
      });
    } finally {
      await run('umount', ['-l', disk]);
      await rm(disk, { recursive: true, force: true });
    }
  });
});

describeWith(['uvx'], 'the metrics', () => {
  test('are read by Prometheus’ own parser', async () => {
    await using watched = await busy();
    const text = await (
      await fetch(`${watched.url}/_metrics`, { headers: { authorization: 'Bearer mcpb_root' } })
    ).text();
    const place = await mkdtemp(join(tmpdir(), 'metrics-'));
    await writeFile(join(place, 'metrics.txt'), text);
    const script = `
import json, sys
from prometheus_client.parser import text_string_to_metric_families
out = {}
for family in text_string_to_metric_families(open(sys.argv[1]).read()):
    for sample in family.samples:
        out.setdefault(sample.name, []).append([sample.labels, sample.value])
print(json.dumps(out))
`;
    const uvx = commandPath('uvx')!;
    const env = { ...process.env, UV_CACHE_DIR: join(toolCache(), 'uv-cache') };
    const args = [
      '--from',
      'prometheus-client==0.22.1',
      '--with',
      'prometheus-client==0.22.1',
      'python',
      '-c',
      script,
      join(place, 'metrics.txt'),
    ];
    const { stdout } = await run(uvx, args, { env });
    await rm(place, { recursive: true });
    const families = JSON.parse(stdout) as Record<string, [Record<string, string>, number][]>;
    const hostile = families.mcp_build_gateway_calls_total?.find(([labels]) =>
      labels.gen_ai_tool_name?.includes('onerror'),
    );
    expect(hostile?.[0].gen_ai_tool_name).toBe(HOSTILE);
    const up = families.mcp_build_gateway_server_up?.map(([{ mcp_server: name }, value]) => [name, value]);
    expect(up).toEqual([
      ['files', 1],
      ['search', 1],
      ['broken', 0],
    ]);
    const buckets = families.mcp_server_operation_duration_seconds_bucket ?? [];
    expect(buckets.filter(([{ le }]) => le === '+Inf').length).toBeGreaterThan(3);
  });
});

describeWith(['uvx'], 'the traces', () => {
  test('are read by OpenTelemetry’s own protobuf', async () => {
    await using collector = await startCollector();
    const config = tracingConfig({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }) as TracingConfig;
    const sent = exporter(config, config.resource, () => undefined);
    const followed = tracer({ export: sent.add, parentBased: true, sample: () => true });
    const observer = recorder({ metrics: metrics(), log: undefined, tracer: followed });
    await using running = await runGateway({ options: { observer } });
    const session = await running.session('fake');
    const traceparent = `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01`;
    await running.call('fake', session, 'echo', { message: 'x' }, { traceparent, tracestate: 'vendor=1' });
    await running.call('fake', session, 'fail');
    await sent.close();
    const place = await mkdtemp(join(tmpdir(), 'traces-'));
    await Promise.all(collector.requests.map(({ body }, at) => writeFile(join(place, `${at}.bin`), body)));
    const script = `
import glob, json, sys
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
out = []
for path in glob.glob(sys.argv[1] + '/*.bin'):
    request = ExportTraceServiceRequest()
    request.ParseFromString(open(path, 'rb').read())
    assert request.SerializeToString(deterministic=True)
    for resource in request.resource_spans:
        service = {a.key: a.value.string_value for a in resource.resource.attributes}['service.name']
        for scope in resource.scope_spans:
            for span in scope.spans:
                out.append({'service': service, 'scope': scope.scope.name, 'name': span.name, 'kind': span.kind,
                    'trace': span.trace_id.hex(), 'id': span.span_id.hex(), 'parent': span.parent_span_id.hex(),
                    'state': span.trace_state, 'status': span.status.code, 'flags': span.flags,
                    'ordered': 0 < span.start_time_unix_nano <= span.end_time_unix_nano,
                    'attributes': {a.key: a.value.string_value for a in span.attributes}})
print(json.dumps(out))
`;
    const env = { ...process.env, UV_CACHE_DIR: join(toolCache(), 'uv-cache') };
    const from = ['--from', PROTO, '--with', PROTO, 'python'];
    const { stdout } = await run(commandPath('uvx')!, [...from, '-c', script, place], { env });
    await rm(place, { recursive: true });
    const spans = JSON.parse(stdout) as Record<string, unknown>[];
    const common = { service: 'mcp-build-gateway', scope: 'mcp-build', ordered: true, flags: 1 };
    const outer = spans.find(({ name, kind }) => name === 'tools/call echo' && kind === 2);
    expect(outer).toMatchObject({
      ...common,
      trace: 'ab'.repeat(16),
      parent: 'cd'.repeat(8),
      state: 'vendor=1',
      status: 0,
    });
    const inner = spans.find(({ name, kind }) => name === 'tools/call echo' && kind === 3);
    expect(inner).toMatchObject({ ...common, trace: 'ab'.repeat(16), parent: outer?.id });
    const failed = spans.find(({ name }) => name === 'tools/call fail');
    expect(failed).toMatchObject({ status: 2, parent: '', attributes: { 'error.type': '-32042' } });
  });
});
