import { McpBuildError } from '../../errors/index.ts';
import type { Resource } from './otlp.ts';

/** What OpenTelemetry's variables say of traces. */
export interface TracingConfig {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly json: boolean;
  readonly gzip: boolean;
  /** In milliseconds. */
  readonly timeout: number;
  /** Spans that may wait; more are dropped. */
  readonly queue: number;
  readonly batch: number;
  /** In milliseconds. */
  readonly delay: number;
  readonly resource: Resource;
  readonly sampler: { readonly parentBased: boolean; readonly ratio: number };
}

type Environment = Readonly<Record<string, string | undefined>>;

/** @returns undefined where no collector is named. @throws McpBuildError `otel-invalid` */
export function tracingConfig(environment: Environment): TracingConfig | undefined {
  const read = (name: string) => environment[name]?.trim() || undefined;
  const otlp = (name: string) => read(`OTEL_EXPORTER_OTLP_TRACES_${name}`) ?? read(`OTEL_EXPORTER_OTLP_${name}`);
  if (read('OTEL_SDK_DISABLED')?.toLowerCase() === 'true' || read('OTEL_TRACES_EXPORTER') === 'none') return undefined;
  const own = read('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT');
  const base = read('OTEL_EXPORTER_OTLP_ENDPOINT');
  const address = own ?? (base && `${base.replace(/\/+$/, '')}/v1/traces`);
  if (address === undefined) return undefined;
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) throw invalid('OTEL_EXPORTER_OTLP_ENDPOINT', 'is no http(s) address');
  const protocol = otlp('PROTOCOL') ?? 'http/protobuf';
  if (protocol !== 'http/protobuf' && protocol !== 'http/json') {
    throw invalid('OTEL_EXPORTER_OTLP_PROTOCOL', `says ${protocol}; http/protobuf and http/json are spoken here`);
  }
  const compression = otlp('COMPRESSION') ?? 'none';
  if (compression !== 'gzip' && compression !== 'none') {
    throw invalid('OTEL_EXPORTER_OTLP_COMPRESSION', 'is neither gzip nor none');
  }
  const number = (name: string, value: string | undefined, otherwise: number, least = 1) => {
    if (value === undefined) return otherwise;
    const found = Number(value);
    if (!Number.isFinite(found) || found < least || found > 1_000_000) throw invalid(name, 'is no sensible number');
    return found;
  };
  const span = (name: string, otherwise: number) => number(`OTEL_BSP_${name}`, read(`OTEL_BSP_${name}`), otherwise);
  const queue = span('MAX_QUEUE_SIZE', 2048);
  return {
    url,
    headers: pairs(otlp('HEADERS'), 'OTEL_EXPORTER_OTLP_HEADERS'),
    json: protocol === 'http/json',
    gzip: compression === 'gzip',
    timeout: number('OTEL_EXPORTER_OTLP_TIMEOUT', otlp('TIMEOUT'), 10_000),
    queue,
    batch: Math.min(span('MAX_EXPORT_BATCH_SIZE', 512), queue),
    delay: span('SCHEDULE_DELAY', 5_000),
    resource: {
      'telemetry.sdk.name': 'mcp-build',
      'telemetry.sdk.language': 'nodejs',
      ...pairs(read('OTEL_RESOURCE_ATTRIBUTES'), 'OTEL_RESOURCE_ATTRIBUTES'),
      'service.name':
        read('OTEL_SERVICE_NAME') ??
        pairs(read('OTEL_RESOURCE_ATTRIBUTES'), 'OTEL_RESOURCE_ATTRIBUTES')['service.name'] ??
        'mcp-build-gateway',
    },
    sampler: sampler(read('OTEL_TRACES_SAMPLER') ?? 'parentbased_always_on', read('OTEL_TRACES_SAMPLER_ARG')),
  };

  function sampler(name: string, argument: string | undefined): TracingConfig['sampler'] {
    const parentBased = name.startsWith('parentbased_');
    switch (name.replace('parentbased_', '')) {
      case 'always_on':
        return { parentBased, ratio: 1 };
      case 'always_off':
        return { parentBased, ratio: 0 };
      case 'traceidratio':
        return { parentBased, ratio: Math.min(1, number('OTEL_TRACES_SAMPLER_ARG', argument, 1, 0)) };
      default:
        throw invalid('OTEL_TRACES_SAMPLER', `says ${name.slice(0, 60)}, which isn’t known here`);
    }
  }
}

/** By the last 56 bits of a trace's id, so that every process decides alike. */
export function sampled(trace: string, ratio: number): boolean {
  return ratio >= 1 || Number.parseInt(trace.slice(18), 16) / 2 ** 56 < ratio;
}

/** `a=b,c=d`, percent-encoded. Values may be keys, so that none is repeated. */
function pairs(text: string | undefined, name: string): Readonly<Record<string, string>> {
  const parts = (text ?? '').split(',').filter((part) => part.trim() !== '');
  return Object.fromEntries(
    parts.map((part) => {
      const equals = part.indexOf('=');
      try {
        if (equals < 1) throw new Error('no name');
        return [part.slice(0, equals).trim(), decodeURIComponent(part.slice(equals + 1).trim())];
      } catch {
        throw invalid(name, 'is not name=value, with commas between');
      }
    }),
  );
}

function invalid(name: string, why: string): McpBuildError {
  return new McpBuildError({
    code: 'otel-invalid',
    message: `${name} ${why}`,
    input: name,
    fix: 'Correct it, or unset it; docs/watching.md lists the variables that count.',
    exit: 2,
  });
}
