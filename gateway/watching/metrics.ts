import type { Call, Incident, Outcome } from './observer.ts';

/** Upper bounds in seconds, as OpenTelemetry's conventions for MCP advise. */
const BOUNDS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300] as const;
/** Names come from clients: after so many of a server's, the others count together. */
const TARGETS = 200;
const OTHER = 'other';

interface Series {
  readonly server: string;
  readonly method: string;
  readonly target: string;
  readonly counts: number[];
  seconds: number;
  sent: number;
  received: number;
  readonly outcomes: Map<string, number>;
}

export interface Gauges {
  /** One line a server. */
  readonly servers: readonly {
    readonly name: string;
    readonly up: boolean;
    readonly sessions: number;
    readonly containers: number;
  }[];
  /** Records of the audit log; undefined without one. */
  readonly audit: number | undefined;
  /** Spans that no collector took; undefined without traces. */
  readonly spansDropped?: number | undefined;
}

export interface Metrics {
  observe(call: Call, outcome: Outcome): void;
  incident(incident: Incident): void;
  /** In Prometheus' text format, version 0.0.4. @param mine which servers are told of; all without */
  text(gauges: Gauges, mine?: (server: string) => boolean): string;
}

export function metrics(): Metrics {
  const series = new Map<string, Series>();
  const targets = new Map<string, Set<string>>();
  const incidents = new Map<string, number>();
  const started = Date.now() / 1000;

  function targetOf(server: string, target: string | undefined): string {
    if (target === undefined) return '';
    const known = targets.get(server) ?? new Set();
    if (!known.has(target)) {
      if (known.size >= TARGETS) return OTHER;
      known.add(target);
      targets.set(server, known);
    }
    return target;
  }

  return {
    observe({ server, method, target: named, size: received }, { kind, code, size: sent, duration }) {
      // A resource's URI names a thing, not a kind of things.
      const target = targetOf(server, method === 'tools/call' || method === 'prompts/get' ? named : undefined);
      const key = `${server}\0${method}\0${target}`;
      let one = series.get(key);
      if (!one) {
        if (series.size > 20_000) return;
        const counts = new Array<number>(BOUNDS.length + 1).fill(0);
        one = { server, method, target, counts, seconds: 0, sent: 0, received: 0, outcomes: new Map() };
        series.set(key, one);
      }
      const seconds = duration / 1000;
      let at = 0;
      while (at < BOUNDS.length && seconds > (BOUNDS[at] as number)) at += 1;
      one.counts[at] = (one.counts[at] as number) + 1;
      one.seconds += seconds;
      one.sent += sent;
      one.received += received;
      const outcome = kind === 'answered' ? '' : kind === 'failed' && code !== undefined ? String(code) : kind;
      one.outcomes.set(outcome, (one.outcomes.get(outcome) ?? 0) + 1);
    },
    incident({ kind, server }) {
      const key = `${kind}\0${server}`;
      if (incidents.size < 10_000 || incidents.has(key)) incidents.set(key, (incidents.get(key) ?? 0) + 1);
    },
    text({ servers, audit, spansDropped }, mine = () => true) {
      const lines: string[] = [];
      const family = (name: string, type: string, help: string, rows: readonly string[]) => {
        if (rows.length > 0) lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...rows);
      };
      const all = [...series.values()].filter(({ server }) => mine(server));
      const labelled = (one: Series, more: Labels = {}) =>
        labels({
          mcp_server: one.server,
          mcp_method_name: one.method,
          ...(one.target === '' ? {} : { gen_ai_tool_name: one.target }),
          ...more,
        });
      const duration = 'mcp_server_operation_duration_seconds';
      family(
        duration,
        'histogram',
        'How long servers took to answer, as clients waited for it.',
        all.flatMap((one) => {
          let sum = 0;
          const rows = one.counts.map((count, at) => {
            sum += count;
            return `${duration}_bucket${labelled(one, { le: at < BOUNDS.length ? String(BOUNDS[at]) : '+Inf' })} ${sum}`;
          });
          return [
            ...rows,
            `${duration}_sum${labelled(one)} ${one.seconds}`,
            `${duration}_count${labelled(one)} ${sum}`,
          ];
        }),
      );
      const calls = 'mcp_build_gateway_calls_total';
      family(
        calls,
        'counter',
        'Calls that were passed on, by outcome: error_type is a JSON-RPC code, failed or cancelled.',
        all.flatMap((one) =>
          [...one.outcomes].map(
            ([outcome, count]) => `${calls}${labelled(one, outcome === '' ? {} : { error_type: outcome })} ${count}`,
          ),
        ),
      );
      for (const [name, field, help] of [
        ['mcp_build_gateway_request_bytes_total', 'received', 'Bytes of requests, as they came.'],
        ['mcp_build_gateway_response_bytes_total', 'sent', 'Bytes of answers, as servers gave them.'],
      ] as const) {
        family(
          name,
          'counter',
          help,
          all.map((one) => `${name}${labelled(one)} ${one[field]}`),
        );
      }
      const incident = 'mcp_build_gateway_incidents_total';
      family(
        incident,
        'counter',
        'What happened besides calls: servers that started or went down, refusals, drift.',
        [...incidents].flatMap(([key, count]) => {
          const [kind = '', server = ''] = key.split('\0');
          return !mine(server) ? [] : `${incident}${labels({ kind, mcp_server: server })} ${count}`;
        }),
      );
      const gauge = (name: string, help: string, of: (server: Gauges['servers'][number]) => number) =>
        family(
          name,
          'gauge',
          help,
          servers.map((server) => `${name}${labels({ mcp_server: server.name })} ${of(server)}`),
        );
      gauge('mcp_build_gateway_server_up', 'Whether a server runs.', ({ up }) => (up ? 1 : 0));
      gauge('mcp_build_gateway_sessions', 'Clients that are connected.', ({ sessions }) => sessions);
      gauge('mcp_build_gateway_own_containers', 'Servers that run for one client.', ({ containers }) => containers);
      if (audit !== undefined) {
        const name = 'mcp_build_gateway_audit_records';
        family(name, 'gauge', 'The number of the last record of the audit log.', [`${name} ${audit}`]);
      }
      if (spansDropped !== undefined) {
        const name = 'mcp_build_gateway_spans_dropped_total';
        family(name, 'counter', 'Spans that no collector took.', [`${name} ${spansDropped}`]);
      }
      family('process_resident_memory_bytes', 'gauge', 'Resident memory of the gateway.', [
        `process_resident_memory_bytes ${process.memoryUsage.rss()}`,
      ]);
      family('process_start_time_seconds', 'gauge', 'When the gateway started, in seconds since 1970.', [
        `process_start_time_seconds ${started}`,
      ]);
      return `${lines.join('\n')}\n`;
    },
  };
}

type Labels = Readonly<Record<string, string>>;

function labels(values: Labels): string {
  const pairs = Object.entries(values).map(([name, value]) => `${name}="${escaped(value)}"`);
  return `{${pairs.join(',')}}`;
}

/** Names of tools are a stranger's text: unescaped, a line feed in one would be a metric of its own. */
function escaped(value: string): string {
  return value.replace(/[\\"\n]/g, (found) => (found === '\n' ? '\\n' : `\\${found}`)).slice(0, 200);
}
