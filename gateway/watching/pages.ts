import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import type { ServerState } from '../gateway.ts';
import { readBody } from '../http/body.ts';
import { type Door, isRefused } from '../http/door.ts';
import { type Pages, refusalHeaders } from '../http/front.ts';
import { refuse, sendJson } from '../http/reply.ts';
import { type Identity, type Power, reaches } from '../identity.ts';
import type { Activity } from './activity.ts';
import type { AuditLog } from './audit-log.ts';
import type { Metrics } from './metrics.ts';
import { page } from './page.ts';

export interface PagesOptions {
  readonly metrics: Metrics;
  readonly activity: Activity;
  readonly log: AuditLog | undefined;
  readonly servers: () => readonly ServerState[];
  readonly control: (name: string, action: 'stop' | 'start' | 'restart') => Promise<boolean>;
  readonly say: (line: string) => void;
  /** Spans that no collector took; without traces, no such member. */
  readonly spansDropped?: (() => number) | undefined;
}

const BODY = 4096;
const order = z.strictObject({ server: z.string().max(64), action: z.enum(['stop', 'start', 'restart']) });

/**
 * `/_status`, the page (which holds no data and is shown to anybody), `/_status.json` and `/_metrics`, which it and Prometheus read, and `/_control`.
 * Those three are for who may watch or control, each within their servers; where nobody is told apart, for this machine itself.
 */
export function pages(options: PagesOptions): Pages {
  const routes: Readonly<Record<string, Route>> = {
    '/_metrics': { method: 'GET', power: 'watch', answer: metricsPage },
    '/_status.json': { method: 'GET', power: 'watch', answer: statusPage },
    '/_control': { method: 'POST', power: 'control', answer: controlPage },
  };

  function metricsPage(_request: IncomingMessage, response: ServerResponse, who: Identity): void {
    const mine = (server: string) => reaches(who, 'watch', server);
    const seen = options.servers().filter(({ name }) => mine(name));
    const servers = seen.map(({ name, state, sessions, containers }) => ({
      name,
      up: state === 'up',
      sessions,
      containers,
    }));
    const gauges = { servers, audit: options.log?.head().n, spansDropped: options.spansDropped?.() };
    const text = options.metrics.text(gauges, mine);
    sendText(response, text, 'text/plain; version=0.0.4; charset=utf-8');
  }

  function statusPage(_request: IncomingMessage, response: ServerResponse, who: Identity): void {
    const { activity, log } = options;
    const mine = options.servers().filter(({ name }) => reaches(who, 'watch', name));
    const servers = mine.map((server) => ({
      ...server,
      ...activity.of(server.name),
      controllable: reaches(who, 'control', server.name),
    }));
    const incidents = activity.recent().filter(({ incident }) => reaches(who, 'watch', incident.server));
    const trouble = log?.trouble();
    const audit = log ? { ...log.head(), ...(trouble ? { trouble: trouble.message } : {}) } : null;
    sendJson(response, 200, JSON.stringify({ servers, audit, incidents }), QUIET);
  }

  async function controlPage(request: IncomingMessage, response: ServerResponse, who: Identity): Promise<void> {
    // A form of another page can't send this type without asking first, and that is refused.
    if (!/^application\/json\b/.test(request.headers['content-type'] ?? '')) {
      refuse(response, 415, 'The body must be application/json');
      return;
    }
    const body = await readBody(request, BODY, json);
    if (body === 'gone') return;
    const parsed = order.safeParse(body);
    if (!parsed.success) {
      refuse(response, 400, 'The body must be {"server": …, "action": "stop", "start" or "restart"}');
      return;
    }
    const { server, action } = parsed.data;
    if (!reaches(who, 'control', server)) return refuse(response, 403, 'This role does not control this server');
    const telling = { kind: 'control', client: who.name, token: who.id, server, action };
    if (!(await recorded(options.log, telling))) return refuse(response, 503, 'The audit log can’t be written');
    const found = await options.control(server, action);
    options.say(`${server}: ${action} by ${who.name}`);
    if (found) sendJson(response, 200, '{}', QUIET);
    else refuse(response, 404, 'There is no such server here');
  }

  async function routed(route: Route, request: IncomingMessage, response: ServerResponse, door: Door): Promise<void> {
    const who = await door.admit(request, route.power);
    if (isRefused(who)) refuse(response, who.status, who.why, refusalHeaders(who));
    else if (request.method !== route.method) {
      refuse(response, 405, `${request.method} is not for this address`, { allow: route.method });
    } else await route.answer(request, response, who);
  }

  return (path, request, response, door) => {
    if (path === '/_status' || path === '/_status/') {
      const { html, policy } = page();
      sendText(response, html, 'text/html; charset=utf-8', {
        'content-security-policy': policy,
        'referrer-policy': 'no-referrer',
        'x-content-type-options': 'nosniff',
      });
      return true;
    }
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
    if (!route) return false;
    routed(route, request, response, door).catch(() => response.destroy());
    return true;
  };
}

interface Route {
  readonly method: string;
  readonly power: Power;
  readonly answer: (request: IncomingMessage, response: ServerResponse, who: Identity) => void | Promise<void>;
}

const QUIET = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };

function recorded(log: AuditLog | undefined, telling: Parameters<AuditLog['append']>[0]): Promise<boolean> {
  if (!log) return Promise.resolve(true);
  return new Promise((resolve) => log.append(telling, (error) => resolve(error === undefined)));
}

function json(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

function sendText(
  response: ServerResponse,
  text: string,
  type: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(200, { 'content-type': type, 'content-length': Buffer.byteLength(text), ...QUIET, ...headers });
  response.end(text);
}
