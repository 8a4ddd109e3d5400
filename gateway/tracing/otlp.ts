import type { Span } from './spans.ts';

/** Attributes of who sends: `service.name` and the like. */
export type Resource = Readonly<Record<string, string>>;

const SCOPE = 'mcp-build';
const KIND = { server: 2, client: 3 } as const;
const STATUS_ERROR = 2;
const SAMPLED = 1;

/** ExportTraceServiceRequest in OTLP's JSON: ids as hexadecimal digits, 64-bit numbers as texts. */
export function traceJson(spans: readonly Span[], resource: Resource): Buffer {
  const attributes = (values: Readonly<Record<string, string | number>>) =>
    Object.entries(values).map(([key, value]) => ({
      key,
      value: typeof value === 'string' ? { stringValue: value } : { intValue: String(value) },
    }));
  const body = {
    resourceSpans: [
      {
        resource: { attributes: attributes(resource) },
        scopeSpans: [
          {
            scope: { name: SCOPE },
            spans: spans.map((span) => ({
              traceId: span.trace,
              spanId: span.id,
              ...(span.state === undefined ? {} : { traceState: span.state }),
              ...(span.parent === undefined ? {} : { parentSpanId: span.parent }),
              flags: SAMPLED,
              name: span.name,
              kind: KIND[span.kind],
              startTimeUnixNano: String(span.start),
              endTimeUnixNano: String(span.end),
              attributes: attributes(span.attributes),
              ...(span.failed ? { status: { code: STATUS_ERROR } } : {}),
            })),
          },
        ],
      },
    ],
  };
  return Buffer.from(JSON.stringify(body));
}

/** The same as protobuf: opentelemetry/proto/collector/trace/v1, by the numbers of its fields. */
export function traceProtobuf(spans: readonly Span[], resource: Resource): Buffer {
  const attributes = (field: number, values: Readonly<Record<string, string | number>>) =>
    Object.entries(values).map(([key, value]) => {
      const given = typeof value === 'string' ? text(1, value) : number(3, BigInt(value));
      return message(field, text(1, key), message(2, given));
    });
  const written = spans.map((span) =>
    message(
      2,
      bytes(1, Buffer.from(span.trace, 'hex')),
      bytes(2, Buffer.from(span.id, 'hex')),
      ...(span.state === undefined ? [] : [text(3, span.state)]),
      ...(span.parent === undefined ? [] : [bytes(4, Buffer.from(span.parent, 'hex'))]),
      text(5, span.name),
      number(6, BigInt(KIND[span.kind])),
      fixed64(7, span.start),
      fixed64(8, span.end),
      ...attributes(9, span.attributes),
      ...(span.failed ? [message(15, number(3, BigInt(STATUS_ERROR)))] : []),
      fixed32(16, SAMPLED),
    ),
  );
  const scope = message(2, message(1, text(1, SCOPE)), ...written);
  return message(1, message(1, ...attributes(1, resource)), scope);
}

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;

function varint(value: bigint): Buffer {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, value);
  while (rest > 127n) {
    out.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  out.push(Number(rest));
  return Buffer.from(out);
}

function tag(field: number, wire: number): Buffer {
  return varint(BigInt(field * 8 + wire));
}

function bytes(field: number, value: Buffer): Buffer {
  return Buffer.concat([tag(field, LENGTH), varint(BigInt(value.length)), value]);
}

function text(field: number, value: string): Buffer {
  return bytes(field, Buffer.from(value));
}

function message(field: number, ...parts: readonly Buffer[]): Buffer {
  return bytes(field, Buffer.concat(parts));
}

function number(field: number, value: bigint): Buffer {
  return Buffer.concat([tag(field, VARINT), varint(value)]);
}

function fixed64(field: number, value: bigint): Buffer {
  const out = Buffer.alloc(8);
  out.writeBigUInt64LE(value);
  return Buffer.concat([tag(field, FIXED64), out]);
}

function fixed32(field: number, value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32LE(value);
  return Buffer.concat([tag(field, FIXED32), out]);
}
