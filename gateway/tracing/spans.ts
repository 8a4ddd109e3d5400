import { META } from '../peer.ts';
import type { Answer } from '../rpc/answer.ts';
import { metaOf, type Request } from '../rpc/message.ts';
import type { Call, Outcome } from '../watching/observer.ts';
import { plainTarget } from '../watching/recorder.ts';
import { contextOf, newId, parentOf, type TraceContext } from './context.ts';

/** One thing that took time, as OpenTelemetry has it. */
export interface Span {
  readonly trace: string;
  readonly id: string;
  readonly parent: string | undefined;
  readonly state: string | undefined;
  readonly name: string;
  readonly kind: 'server' | 'client';
  /** Nanoseconds since 1970. */
  readonly start: bigint;
  readonly end: bigint;
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly failed: boolean;
}

/** A call that is being traced. */
export interface Tracing {
  /** For the server, in `params._meta`. */
  readonly meta: Readonly<Record<string, string>>;
  /** It is passed on now. */
  passed(): void;
  /** The server has answered. */
  answered(answer: Answer): void;
  end(outcome: Outcome): void;
}

export interface Tracer {
  begin(call: Call, request: Request): Tracing;
}

export interface TracerOptions {
  readonly export: (span: Span) => void;
  /** Whether a trace is kept that nobody has decided on; given its id. */
  readonly sample: (trace: string) => boolean;
  /** Whether what a caller decided counts. */
  readonly parentBased: boolean;
}

/**
 * Two spans a call: what its client waited for, and within it what the server took. Names and attributes follow OpenTelemetry's conventions for MCP;
 * arguments and answers are none.
 */
export function tracer({ export: give, sample, parentBased }: TracerOptions): Tracer {
  return {
    begin(call, request) {
      const parent = contextOf(request.params);
      const trace = parent?.trace ?? newId(16);
      const sampled = parent && parentBased ? parent.sampled : sample(trace);
      const outer = newId(8);
      const inner = newId(8);
      const here: TraceContext = { trace, span: inner, sampled, state: parent?.state };
      const start = now();
      let passed: bigint | undefined;
      let back: bigint | undefined;
      let answer: Answer | undefined;
      const meta = {
        traceparent: parentOf(here),
        ...(here.state === undefined ? {} : { tracestate: here.state }),
      };
      return {
        meta,
        passed() {
          passed = now();
        },
        answered(given) {
          back = now();
          answer = given;
        },
        end(outcome) {
          if (!sampled) return;
          const end = now();
          const attributes = attributesOf(call, request, outcome, answer && errorIn(answer));
          const name = nameOf(call);
          const common = { trace, state: parent?.state, name, failed: attributes['error.type'] !== undefined };
          give({
            ...common,
            id: outer,
            parent: parent?.span,
            kind: 'server',
            start,
            end,
            attributes: { ...attributes, 'mcp_build.client': call.client.name },
          });
          if (passed === undefined) return;
          give({ ...common, id: inner, parent: outer, kind: 'client', start: passed, end: back ?? end, attributes });
        },
      };
    },
  };
}

/** Milliseconds of a clock that doesn't jump, as nanoseconds since 1970. */
function now(): bigint {
  return BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e3)) * 1000n;
}

/** Few names: a resource's URI is an attribute only. */
function nameOf({ method, target }: Call): string {
  const named = method === 'tools/call' || method === 'prompts/get';
  return named && target !== undefined ? `${method} ${target.slice(0, 200)}` : method.slice(0, 200);
}

function attributesOf(
  { server, digest, method, target }: Call,
  { id, params }: Request,
  { kind, code }: Outcome,
  said: number | 'tool_error' | undefined,
): Readonly<Record<string, string>> {
  const version = metaOf(params)?.[META.version];
  const what = plainTarget(target) ?? '';
  const status = kind === 'failed' ? (code ?? (said === 'tool_error' ? undefined : said)) : undefined;
  const error = kind === 'answered' ? said : kind === 'failed' ? (status ?? '_OTHER') : kind;
  const given: Record<string, string | undefined> = {
    'mcp.method.name': method.slice(0, 200),
    'jsonrpc.request.id': id.replace(/^"|"$/g, '').slice(0, 200),
    'mcp.protocol.version': typeof version === 'string' ? version.slice(0, 40) : undefined,
    'gen_ai.operation.name': method === 'tools/call' ? 'execute_tool' : undefined,
    'gen_ai.tool.name': method === 'tools/call' ? what : undefined,
    'gen_ai.prompt.name': method === 'prompts/get' ? what : undefined,
    'mcp.resource.uri': method === 'resources/read' ? what : undefined,
    'error.type': error === undefined ? undefined : String(error),
    'rpc.response.status_code': status === undefined ? undefined : String(status),
    'mcp_build.server': server,
    'mcp_build.image.digest': digest,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Record<string, string>;
}

/** A tool that failed says so within an answer that didn't; anything else that fails has a code. */
function errorIn({ line, failed }: Answer): number | 'tool_error' | undefined {
  if (!failed && !line.includes('"isError"')) return undefined;
  const { result, error } = JSON.parse(line.toString('utf8')) as {
    result?: { isError?: unknown };
    error?: { code?: unknown };
  };
  if (failed) return typeof error?.code === 'number' ? error.code : undefined;
  return result?.isError === true ? 'tool_error' : undefined;
}
