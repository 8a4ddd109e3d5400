import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import type { ServerState } from '../gateway.ts';
import { readBody } from '../http/body.ts';
import type { Pages } from '../http/front.ts';
import { refuse, sendJson } from '../http/reply.ts';
import type { Identity } from '../identity.ts';
import { hashToken } from '../tokens.ts';
import type { Activity } from './activity.ts';
import type { AuditLog } from './audit-log.ts';
import type { Metrics } from './metrics.ts';
import { page } from './page.ts';

export interface PagesOptions {
  readonly metrics: Metrics;
  readonly activity: Activity;
  readonly log: AuditLog | undefined;
  /** Tokens of `token create`, by hash. */
  readonly tokens: () => ReadonlyMap<string, Identity>;
  readonly servers: () => readonly ServerState[];
  readonly control: (name: string, action: 'stop' | 'start' | 'restart') => Promise<boolean>;
  readonly say: (line: string) => void;
}

const BODY = 4096;
const order = z.strictObject({ server: z.string().max(64), action: z.enum(['stop', 'start', 'restart']) });

/**
 * `/_status`, the page (which holds no data and is shown to anybody), `/_status.json` and `/_metrics`, which it and Prometheus read, and `/_control`.
 * Those three are for tokens without limits; where there are no tokens, for this machine itself.
 */
export function pages(options: PagesOptions): Pages {
  const routes: Readonly<Record<string, { readonly method: string; readonly answer: Answer }>> = {
    '/_metrics': { method: 'GET', answer: metricsPage },
    '/_status.json': { method: 'GET', answer: statusPage },
    '/_control': { method: 'POST', answer: controlPage },
  };

  function metricsPage(_request: IncomingMessage, response: ServerResponse): void {
    const servers = options.servers().map(({ name, state, sessions, containers }) => ({
      name,
      up: state === 'up',
      sessions,
      containers,
    }));
    const text = options.metrics.text({ servers, audit: options.log?.head().n });
    sendText(response, text, 'text/plain; version=0.0.4; charset=utf-8');
  }

  function statusPage(_request: IncomingMessage, response: ServerResponse): void {
    const { activity, log } = options;
    const servers = options.servers().map((server) => ({ ...server, ...activity.of(server.name) }));
    const trouble = log?.trouble();
    const audit = log ? { ...log.head(), ...(trouble ? { trouble: trouble.message } : {}) } : null;
    sendJson(response, 200, JSON.stringify({ servers, audit, incidents: activity.recent() }), QUIET);
  }

  async function controlPage(request: IncomingMessage, response: ServerResponse, who: string): Promise<void> {
    // A form of another page can't send this type without asking first, and that is refused.
    if (!/^application\/json\b/.test(request.headers['content-type'] ?? '')) {
      refuse(response, 415, 'The body must be application/json');
      return;
    }
    const body = await readBody(request, BODY);
    if (body === 'gone') return;
    const parsed = order.safeParse(body === 'too-large' ? undefined : json(body));
    if (!parsed.success) {
      refuse(response, 400, 'The body must be {"server": …, "action": "stop", "start" or "restart"}');
      return;
    }
    const { server, action } = parsed.data;
    const record = await recorded(options.log, { kind: 'control', client: who, server, action });
    if (!record) return refuse(response, 503, 'The audit log can’t be written');
    const found = await options.control(server, action);
    options.say(`${server}: ${action} by ${who}`);
    if (found) sendJson(response, 200, '{}', QUIET);
    else refuse(response, 404, 'There is no such server here');
  }

  return (path, request, response) => {
    if (path === '/_status' || path === '/_status/') {
      const { html, policy } = page();
      sendText(response, html, 'text/html; charset=utf-8', {
        'content-security-policy': policy,
        'referrer-policy': 'no-referrer',
        'x-content-type-options': 'nosniff',
      });
      return true;
    }
    const route = routes[path];
    if (!route) return false;
    const who = entitled(request, options.tokens());
    if (who === undefined) {
      refuse(response, 401, 'A token without limits is needed', { 'www-authenticate': 'Bearer realm="mcp-build"' });
    } else if (request.method !== route.method) {
      refuse(response, 405, `${request.method} is not for this address`, { allow: route.method });
    } else {
      Promise.resolve(route.answer(request, response, who)).catch(() => response.destroy());
    }
    return true;
  };
}

type Answer = (request: IncomingMessage, response: ServerResponse, who: string) => void | Promise<void>;

const QUIET = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };

function entitled({ headers, socket }: IncomingMessage, tokens: ReadonlyMap<string, Identity>): string | undefined {
  if (tokens.size === 0) {
    const local = socket.remoteAddress === undefined || /^(?:::ffff:)?127\.|^::1$/.test(socket.remoteAddress);
    // What a reverse proxy on this machine passes on comes from elsewhere.
    const direct = headers['x-forwarded-for'] === undefined && headers.forwarded === undefined;
    const own = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i.test(headers.host ?? '');
    return local && direct && (own || socket.remoteAddress === undefined) ? 'this machine' : undefined;
  }
  const token = /^bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
  const found = token === undefined ? undefined : tokens.get(hashToken(token));
  if (!found || (found.expires !== undefined && found.expires <= Date.now())) return undefined;
  return found.servers === undefined && found.tools === undefined ? found.name : undefined;
}

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
