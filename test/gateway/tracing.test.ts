import { fileURLToPath } from 'node:url';
import { describe, expect, test, vi } from 'vitest';
import {
  activity,
  exporter,
  metrics,
  recorder,
  sampled,
  type TracingConfig,
  tracer,
  tracingConfig,
} from '../../gateway/index.ts';
import { readContext, withMeta } from '../../gateway/tracing/context.ts';
import { type Collector, startCollector } from '../fakes/otlp-collector.ts';
import { lastMessage, processChannel, runGateway, type Setup, textOf, until } from './gateway.ts';

// Child processes start slowly on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = `00-${TRACE}-b7ad6b7169203331-01`;

async function traced(collector: Collector, setup: Setup = {}, environment: Record<string, string> = {}) {
  const config = tracingConfig({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    OTEL_BSP_SCHEDULE_DELAY: '50',
    ...environment,
  }) as TracingConfig;
  const said: string[] = [];
  const sent = exporter(config, config.resource, (line) => said.push(line));
  const { parentBased, ratio } = config.sampler;
  const followed = tracer({ export: sent.add, parentBased, sample: (trace) => sampled(trace, ratio) });
  const observer = recorder({ metrics: metrics(), log: undefined, also: [activity()], tracer: followed });
  const running = await runGateway({ ...setup, options: { observer } });
  const call = async (name: string, args: object, meta?: object, headers: Record<string, string> = {}) => {
    const session = await running.session('fake');
    const params = { name, arguments: args, ...(meta ? { _meta: meta } : {}) };
    const body = { jsonrpc: '2.0', id: 'the-id', method: 'tools/call', params };
    return lastMessage(await (await running.post('fake', body, { 'mcp-session-id': session, ...headers })).text());
  };
  return {
    ...running,
    sent,
    said,
    call,
    async [Symbol.asyncDispose]() {
      await running[Symbol.asyncDispose]();
      await sent.close();
    },
  };
}

const ofCalls = ({ spans }: Collector) => spans.filter(({ name }) => name.startsWith('tools/call'));

describe('a traced call', () => {
  test('is two spans in its caller’s trace, and the server is told of the inner one', async () => {
    await using collector = await startCollector();
    await using running = await traced(collector);
    const meta = { traceparent: PARENT, tracestate: 'vendor=1', other: 'kept' };
    const seen = JSON.parse(textOf(await running.call('seen', { text: 'my password' }, meta))) as {
      params: { _meta: Record<string, string> };
    };
    await until(() => ofCalls(collector).length === 2, 30_000);
    expect(collector.faults).toEqual([]);
    const server = ofCalls(collector).find(({ kind }) => kind === 2);
    const client = ofCalls(collector).find(({ kind }) => kind === 3);
    expect(server).toMatchObject({
      trace: TRACE,
      parent: 'b7ad6b7169203331',
      state: 'vendor=1',
      name: 'tools/call seen',
      failed: false,
      service: 'mcp-build-gateway',
      attributes: {
        'mcp.method.name': 'tools/call',
        'gen_ai.tool.name': 'seen',
        'gen_ai.operation.name': 'execute_tool',
        'jsonrpc.request.id': 'the-id',
        'mcp_build.server': 'fake',
      },
    });
    expect(client).toMatchObject({ trace: TRACE, parent: server?.id, name: 'tools/call seen' });
    expect(seen.params._meta).toMatchObject({
      traceparent: `00-${TRACE}-${client?.id}-01`,
      tracestate: 'vendor=1',
      other: 'kept',
    });
    expect(collector.requests.map(({ path }) => path)).toContain('/v1/traces');
    expect(String(collector.requests.map(({ body }) => body))).not.toContain('password');
  });

  test('belongs to the trace of the HTTP request, where the message says nothing', async () => {
    await using collector = await startCollector();
    await using running = await traced(collector);
    await running.call('echo', { message: 'x' }, undefined, { traceparent: PARENT });
    const other = { traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` };
    await running.call('echo', { message: 'x' }, other, { traceparent: PARENT });
    await until(() => ofCalls(collector).length === 4, 30_000);
    expect(new Set(ofCalls(collector).map(({ trace }) => trace))).toEqual(new Set([TRACE, '1'.repeat(32)]));
    expect(collector.faults).toEqual([]);
  });

  test('that fails says how, and so does a tool that says so itself', async () => {
    await using collector = await startCollector();
    const EVERYTHING = fileURLToPath(new URL('../fakes/conformance-server.ts', import.meta.url));
    const open = processChannel([process.execPath, '--no-warnings', EVERYTHING]);
    await using running = await traced(collector, {
      servers: { fake: {}, all: {} },
      prepare: (name) => (name === 'all' ? { open } : undefined),
    });
    await running.call('fail', { code: -32042 });
    const session = await running.session('all');
    await running.call('echo', {});
    await running.post(
      'all',
      { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'test_error_handling', arguments: {} } },
      { 'mcp-session-id': session },
    );
    await until(() => ofCalls(collector).length === 6, 30_000);
    const errors = ofCalls(collector).map(({ name, failed, attributes }) => [
      name,
      failed,
      attributes['error.type'],
      attributes['rpc.response.status_code'],
    ]);
    expect(errors).toContainEqual(['tools/call fail', true, '-32042', '-32042']);
    expect(errors).toContainEqual(['tools/call test_error_handling', true, 'tool_error', undefined]);
    expect(errors).toContainEqual(['tools/call echo', false, undefined, undefined]);
    expect(collector.faults).toEqual([]);
  });

  test('is followed as the sampler and the caller say', async () => {
    await using collector = await startCollector();
    await using running = await traced(collector, {}, { OTEL_TRACES_SAMPLER: 'parentbased_always_off' });
    await running.call('echo', { message: 'not asked for' });
    await running.call('echo', {}, { traceparent: PARENT.replace(/01$/, '00') });
    await running.call('echo', {}, { traceparent: PARENT });
    await until(() => ofCalls(collector).length === 2, 30_000);
    await running.sent.close();
    expect(new Set(collector.spans.map(({ trace }) => trace))).toEqual(new Set([TRACE]));
    const share = Array.from(
      { length: 2_000 },
      (_, at) => at.toString(16).padStart(18, '0') + Math.random().toString(16).slice(2, 16).padEnd(14, '0'),
    );
    expect(share.filter((trace) => sampled(trace, 0.25)).length / 2_000).toBeCloseTo(0.25, 1);
  });
});

describe('a collector', () => {
  test('that is silent or away holds no call up, and what is too much is dropped and counted', async () => {
    await using collector = await startCollector();
    collector.silent = true;
    const limits = { OTEL_BSP_MAX_QUEUE_SIZE: '10', OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '5' };
    await using running = await traced(collector, {}, limits);
    for (let at = 0; at < 20; at += 1) expect(textOf(await running.call('echo', { message: `${at}` }))).toBe(`${at}`);
    expect(running.sent.dropped()).toBeGreaterThan(0);
  });

  test('that asks for patience is asked again, and one that refuses is said to', async () => {
    await using collector = await startCollector();
    await using running = await traced(collector);
    collector.refusals.push({ status: 503, headers: { 'retry-after': '0.05' } }, { status: 429 });
    await running.call('echo', { message: 'x' });
    await until(() => ofCalls(collector).length === 2, 60_000);
    expect(running.sent.dropped()).toBe(0);
    collector.refusals.push({ status: 401 });
    await running.call('echo', { message: 'x' });
    await until(() => running.said.length > 0, 60_000);
    expect(running.said[0]).toMatch(/401/);
    expect(running.sent.dropped()).toBeGreaterThan(0);
  });

  test('gets what waits when the gateway ends, with its headers and compressed as told', async () => {
    await using collector = await startCollector();
    const environment = {
      OTEL_BSP_SCHEDULE_DELAY: '600000',
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20key,x-team=a',
      OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
      OTEL_RESOURCE_ATTRIBUTES: 'service.name=other,team=a',
      OTEL_SERVICE_NAME: 'mine',
    };
    const running = await traced(collector, {}, environment);
    await running.call('echo', { message: 'x' });
    await running[Symbol.asyncDispose]();
    expect(ofCalls(collector)).toHaveLength(2);
    expect(ofCalls(collector)[0]?.service).toBe('mine');
    expect(collector.requests[0]?.headers).toMatchObject({ authorization: 'Bearer key', 'x-team': 'a' });
    expect(collector.faults).toEqual([]);
  });
});

describe('trace context', () => {
  test.each([
    [PARENT, true],
    [`cc-${TRACE}-b7ad6b7169203331-01-what-comes-later`, true],
    [`ff-${TRACE}-b7ad6b7169203331-01`, false],
    [`00-${'0'.repeat(32)}-b7ad6b7169203331-01`, false],
    [`00-${TRACE}-${'0'.repeat(16)}-01`, false],
    [`00-${TRACE.toUpperCase()}-b7ad6b7169203331-01`, false],
    [`${PARENT}-more`, false],
    ['', false],
    [7, false],
  ])('%s', (parent, good) => {
    expect(readContext(parent, 'a=b') !== undefined).toBe(good);
  });

  test.each([
    ['{"jsonrpc":"2.0","id":1,"method":"m"}', '{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"a":"1"}}}'],
    ['{"id":1,"params":{}}', '{"id":1,"params":{"_meta":{"a":"1"}}}'],
    ['{"params":{"n":12345678901234567890},"id":1}', '{"params":{"_meta":{"a":"1"},"n":12345678901234567890},"id":1}'],
    ['{"params":{"_meta":{}}}', '{"params":{"_meta":{"a":"1"}}}'],
    ['{"params":{"_meta":{"a":"old","b":2}}}', '{"params":{"_meta":{"a":"1","b":2}}}'],
  ])('is written into %s', (before, after) => {
    expect(withMeta(before, { a: '1' })).toBe(after);
  });

  test.each<[Record<string, string>]>([
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4317' }],
    [{ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }],
    [{ OTEL_EXPORTER_OTLP_HEADERS: 'just-a-key' }],
    [{ OTEL_TRACES_SAMPLER: 'sometimes' }],
    [{ OTEL_BSP_MAX_QUEUE_SIZE: 'many' }],
  ])('%j is refused', (variables) => {
    const environment = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318', ...variables };
    expect(() => tracingConfig(environment)).toThrow(expect.objectContaining({ code: 'otel-invalid' }));
  });

  test('goes nowhere unless a collector is named', () => {
    expect(tracingConfig({})).toBeUndefined();
    const url = 'http://127.0.0.1:4318';
    expect(tracingConfig({ OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_SDK_DISABLED: 'true' })).toBeUndefined();
    expect(tracingConfig({ OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_TRACES_EXPORTER: 'none' })).toBeUndefined();
    expect(tracingConfig({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${url}/x` })?.url.href).toBe(`${url}/x`);
  });
});
