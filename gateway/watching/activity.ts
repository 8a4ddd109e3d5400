import { type Call, hasFailed, type Incident, type Outcome } from './observer.ts';

const MINUTE = 60_000;
/** Minutes that are remembered. */
const MINUTES = 60;
const RECENT = 50;
const TOOLS = 200;

interface Minute {
  /** Minutes since 1970. */
  at: number;
  calls: number;
  failed: number;
  slowest: number;
  total: number;
}

export interface ServerActivity {
  readonly calls: number;
  readonly failed: number;
  /** The last hour, oldest first: calls, those that failed, and the mean and longest duration in milliseconds. */
  readonly minutes: readonly {
    readonly calls: number;
    readonly failed: number;
    readonly mean: number;
    readonly slowest: number;
  }[];
  readonly tools: readonly {
    readonly name: string;
    readonly calls: number;
    readonly failed: number;
    readonly mean: number;
  }[];
  readonly egressRefused: readonly { readonly destination: string; readonly count: number }[];
}

export interface Activity {
  call(call: Call, outcome: Outcome): void;
  incident(incident: Incident): void;
  of(server: string): ServerActivity;
  /** The newest first. */
  recent(): readonly { readonly at: string; readonly incident: Incident }[];
}

interface Kept {
  calls: number;
  failed: number;
  readonly minutes: Minute[];
  readonly tools: Map<string, { calls: number; failed: number; total: number }>;
  readonly refused: Map<string, number>;
}

/** What a person looks at: the last hour of each server, in memory that doesn't grow. */
export function activity(now: () => number = Date.now): Activity {
  const servers = new Map<string, Kept>();
  const incidents: { readonly at: string; readonly incident: Incident }[] = [];
  const kept = (server: string): Kept => {
    let found = servers.get(server);
    if (!found) {
      found = { calls: 0, failed: 0, minutes: [], tools: new Map(), refused: new Map() };
      servers.set(server, found);
    }
    return found;
  };

  return {
    call({ server, method, target }, outcome) {
      const { duration } = outcome;
      const of = kept(server);
      const failed = hasFailed(outcome) ? 1 : 0;
      of.calls += 1;
      of.failed += failed;
      const at = Math.floor(now() / MINUTE);
      let minute = of.minutes.at(-1);
      if (minute?.at !== at) {
        minute = { at, calls: 0, failed: 0, slowest: 0, total: 0 };
        of.minutes.push(minute);
        if (of.minutes.length > MINUTES) of.minutes.shift();
      }
      minute.calls += 1;
      minute.failed += failed;
      minute.total += duration;
      if (duration > minute.slowest) minute.slowest = duration;
      if (method !== 'tools/call' || target === undefined) return;
      let tool = of.tools.get(target);
      if (!tool) {
        if (of.tools.size >= TOOLS) return;
        tool = { calls: 0, failed: 0, total: 0 };
        of.tools.set(target, tool);
      }
      tool.calls += 1;
      tool.failed += failed;
      tool.total += duration;
    },
    incident(incident) {
      incidents.unshift({ at: new Date(now()).toISOString(), incident });
      if (incidents.length > RECENT) incidents.pop();
      if (incident.kind !== 'egress-refused') return;
      const { refused } = kept(incident.server);
      const destination = `${incident.host}:${incident.port}`;
      if (refused.size < TOOLS || refused.has(destination)) {
        refused.set(destination, (refused.get(destination) ?? 0) + 1);
      }
    },
    of(server) {
      const { calls, failed, minutes, tools, refused } = kept(server);
      const first = Math.floor(now() / MINUTE) - MINUTES + 1;
      const byMinute = new Map(minutes.map((minute) => [minute.at, minute]));
      return {
        calls,
        failed,
        minutes: Array.from({ length: MINUTES }, (_, at) => {
          const minute = byMinute.get(first + at);
          if (!minute) return { calls: 0, failed: 0, mean: 0, slowest: 0 };
          return {
            calls: minute.calls,
            failed: minute.failed,
            mean: minute.total / minute.calls,
            slowest: minute.slowest,
          };
        }),
        tools: [...tools]
          .map(([name, tool]) => ({ name, calls: tool.calls, failed: tool.failed, mean: tool.total / tool.calls }))
          .sort((a, b) => b.calls - a.calls),
        egressRefused: [...refused]
          .map(([destination, count]) => ({ destination, count }))
          .sort((a, b) => b.count - a.count),
      };
    },
    recent: () => incidents,
  };
}
