import type { Call, GatewayConfig, Incident, Outcome } from '../../gateway/index.ts';
import { plainTarget } from '../../gateway/index.ts';

/** What a gateway says while it runs: for a person, or as JSON lines for a program that gathers logs. */
export interface GatewayLog {
  say(line: string): void;
  /** Sees every call and incident; says them in JSON only. */
  readonly watcher: { call(call: Call, outcome: Outcome): void; incident(incident: Incident): void };
  /** Whose calls are logged, by `logEnabled`. */
  configured(config: GatewayConfig): void;
}

export function gatewayLog(
  format: 'text' | 'json',
  note: (line: string) => void,
  write: (text: string) => void = (text) => void process.stderr.write(text),
): GatewayLog {
  const quiet = new Set<string>();
  const names = new Set<string>();
  const put = (level: 'info' | 'warn', msg: string, fields: Readonly<Record<string, unknown>>) =>
    write(`${JSON.stringify({ time: new Date().toISOString(), level, msg, ...fields })}\n`);
  const nothing = { call: () => undefined, incident: () => undefined };
  return {
    say(line) {
      if (format === 'text') return note(line);
      const colon = line.indexOf(': ');
      const server = line.slice(0, Math.max(0, colon));
      if (names.has(server)) put('info', line.slice(colon + 2), { server });
      else put('info', line, {});
    },
    watcher:
      format === 'text'
        ? nothing
        : {
            call({ client, server, method, target, digest }, { kind, code, duration, size }) {
              if (quiet.has(server)) return;
              put(kind === 'failed' || kind === 'tool_error' ? 'warn' : 'info', 'call', {
                server,
                client: client.name,
                method,
                target: plainTarget(target),
                digest,
                outcome: kind,
                code,
                ms: Math.round(duration),
                bytes: size,
              });
            },
            incident({ kind, ...rest }) {
              const client = 'client' in rest ? { client: rest.client.name } : {};
              const target = 'target' in rest ? { target: plainTarget(rest.target) } : {};
              put(kind === 'started' ? 'info' : 'warn', kind, { ...rest, ...client, ...target });
            },
          },
    configured({ servers }) {
      quiet.clear();
      names.clear();
      for (const { name, logged } of servers) {
        names.add(name);
        if (!logged) quiet.add(name);
      }
    },
  };
}
