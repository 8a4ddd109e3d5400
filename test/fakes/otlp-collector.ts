import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { z } from 'zod';

const id = (digits: number) =>
  z
    .string()
    .regex(new RegExp(`^[0-9a-f]{${digits}}$`))
    .refine((text) => !/^0+$/.test(text), 'is all zeros');
const nanoseconds = z.string().regex(/^\d{19}$/);
const value = z.union([
  z.strictObject({ stringValue: z.string() }),
  z.strictObject({ intValue: z.string().regex(/^-?\d+$/) }),
]);
const attributes = z.array(z.strictObject({ key: z.string().min(1), value }));
const span = z
  .strictObject({
    traceId: id(32),
    spanId: id(16),
    traceState: z.string().optional(),
    parentSpanId: id(16).optional(),
    flags: z.int().min(0),
    name: z.string().min(1),
    kind: z.int().min(1).max(5),
    startTimeUnixNano: nanoseconds,
    endTimeUnixNano: nanoseconds,
    attributes,
    status: z.strictObject({ code: z.int().min(0).max(2), message: z.string().optional() }).optional(),
  })
  .refine(
    ({ startTimeUnixNano: start, endTimeUnixNano: end }) => BigInt(start) <= BigInt(end),
    'ends before it starts',
  );

/** opentelemetry/proto/collector/trace/v1, as its JSON mapping has it: no other member is known. */
const request = z.strictObject({
  resourceSpans: z.array(
    z.strictObject({
      resource: z.strictObject({ attributes }),
      scopeSpans: z.array(
        z.strictObject({
          scope: z.strictObject({ name: z.string(), version: z.string().optional() }),
          spans: z.array(span),
        }),
      ),
    }),
  ),
});

export interface Received {
  readonly trace: string;
  readonly id: string;
  readonly parent: string | undefined;
  readonly state: string | undefined;
  readonly name: string;
  readonly kind: number;
  readonly failed: boolean;
  readonly attributes: Readonly<Record<string, string>>;
  readonly service: string | undefined;
}

export interface Collector {
  readonly url: string;
  readonly spans: Received[];
  /** What didn't fit the schema. */
  readonly faults: string[];
  readonly requests: { readonly path: string; readonly headers: http.IncomingHttpHeaders; readonly body: Buffer }[];
  /** Answers with these, one after the other, before it takes anything. */
  readonly refusals: { readonly status: number; readonly headers?: Record<string, string> }[];
  /** Takes requests and answers none. */
  silent: boolean;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A collector of traces by OTLP/HTTP, which checks every member of what it is sent as JSON. */
export async function startCollector(): Promise<Collector> {
  const server = http.createServer(async (incoming, response) => {
    const parts: Buffer[] = [];
    for await (const part of incoming) parts.push(part as Buffer);
    const raw = Buffer.concat(parts);
    const body = incoming.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw;
    collector.requests.push({ path: incoming.url ?? '', headers: incoming.headers, body });
    if (collector.silent) return;
    const refusal = collector.refusals.shift();
    if (refusal) {
      response.writeHead(refusal.status, refusal.headers).end();
      return;
    }
    if (incoming.headers['content-type'] === 'application/json') take(body);
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });

  function take(body: Buffer): void {
    const parsed = request.safeParse(JSON.parse(body.toString('utf8')));
    if (!parsed.success) {
      collector.faults.push(parsed.error.message);
      return;
    }
    const flat = (list: z.output<typeof attributes>) =>
      Object.fromEntries(list.map(({ key, value: of }) => [key, 'stringValue' in of ? of.stringValue : of.intValue]));
    for (const { resource, scopeSpans } of parsed.data.resourceSpans) {
      for (const each of scopeSpans.flatMap(({ spans }) => spans)) {
        collector.spans.push({
          trace: each.traceId,
          id: each.spanId,
          parent: each.parentSpanId,
          state: each.traceState,
          name: each.name,
          kind: each.kind,
          failed: each.status?.code === 2,
          attributes: flat(each.attributes),
          service: flat(resource.attributes)['service.name'],
        });
      }
    }
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const collector: Collector = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans: [],
    faults: [],
    requests: [],
    refusals: [],
    silent: false,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  return collector;
}
