import { CODE, type RpcFault } from '../rpc/fault.ts';
import type { Tracer } from '../tracing/spans.ts';
import type { AuditLog } from './audit-log.ts';
import type { Metrics } from './metrics.ts';
import type { Call, Incident, Observer, Outcome } from './observer.ts';

/** Methods that do something or tell something; lists and greetings are only counted. */
const AUDITED: ReadonlySet<string> = new Set(['tools/call', 'prompts/get', 'resources/read']);

const LONGEST = 256;

export interface RecorderOptions {
  readonly metrics: Metrics;
  /** Without one, nothing is recorded and nothing is held up. */
  readonly log: AuditLog | undefined;
  /** Sees everything too; may not throw. */
  readonly also?: readonly Watcher[];
  readonly tracer?: Tracer | undefined;
}

export interface Watcher {
  call(call: Call, outcome: Outcome): void;
  incident(incident: Incident): void;
}

/**
 * Keeps account of what passes. A call is recorded before it is passed on and its outcome before that is told: where the record can't be
 * written, the call isn't made. Arguments and answers are not recorded.
 */
export function recorder({ metrics, log, also = [], tracer }: RecorderOptions): Observer {
  return {
    trace: tracer?.begin,
    begin(call, go) {
      if (!log || !AUDITED.has(call.method)) {
        go();
        return 0;
      }
      const { client, server, digest, method, target } = call;
      return log.append(
        {
          kind: 'call',
          client: client.name,
          token: client.id,
          server,
          digest,
          method,
          target: plainTarget(target),
        },
        (error) => go(error ? unrecorded('The call was not made') : undefined),
      );
    },
    end(call, begun, outcome, go) {
      metrics.observe(call, outcome);
      for (const each of also) each.call(call, outcome);
      if (!log || begun === 0) {
        go();
        return;
      }
      const { kind, code, size, duration } = outcome;
      log.append({ kind: 'done', of: begun, outcome: kind, code, ms: Math.round(duration), bytes: size }, (error) =>
        go(error ? unrecorded('The call was made, and its answer is withheld') : undefined),
      );
    },
    incident(incident) {
      metrics.incident(incident);
      for (const each of also) each.incident(incident);
      if (!log) return;
      const { kind, server } = incident;
      log.append({ kind, server, ...detailsOf(incident) }, () => undefined);
    },
  };
}

function detailsOf(incident: Incident): Readonly<Record<string, string | number | undefined>> {
  switch (incident.kind) {
    case 'started':
      return { digest: incident.digest };
    case 'down':
      return { why: incident.why.slice(0, LONGEST) };
    case 'drift':
      return { what: incident.what.slice(0, LONGEST) };
    case 'unusual':
      return { pattern: incident.pattern, what: incident.what.slice(0, LONGEST) };
    case 'egress-refused':
      return { host: incident.host.slice(0, LONGEST), port: incident.port };
    case 'entry-refused':
      return { status: incident.status };
    case 'call-blocked':
      return {
        client: incident.client.name,
        token: incident.client.id,
        method: incident.method,
        target: plainTarget(incident.target),
        where: incident.where,
        rule: incident.rule.slice(0, LONGEST),
      };
    case 'call-refused':
      return {
        client: incident.client.name,
        token: incident.client.id,
        method: incident.method,
        target: plainTarget(incident.target),
        code: incident.code,
      };
  }
}

/** A URI may hold a password before its host and a token in its query: what is left names the thing. */
export function plainTarget(target: string | undefined): string | undefined {
  return target
    ?.replace(/\/\/[^/@]*@/, '//')
    .replace(/[?#].*$/s, '')
    .slice(0, LONGEST);
}

function unrecorded(what: string): RpcFault {
  return { code: CODE.unavailable, message: `${what}: the audit log can't be written` };
}
