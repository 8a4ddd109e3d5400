import type { IncomingMessage, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { BACKEND_LIMITS } from '../backend.ts';
import { front, type Health } from '../http/front.ts';
import { guard } from '../http/guard.ts';
import { listenOn } from '../http/serve.ts';
import { ANYBODY } from '../identity.ts';
import { LEGACY } from '../peer.ts';
import { type Service, type ServiceOptions, service } from '../service.ts';
import { SESSION_LIMITS } from '../sessions.ts';
import type { OpenChannel } from '../upstream/channel.ts';

export interface BridgeOptions {
  readonly open: OpenChannel;
  /** 0 takes any that is free. */
  readonly port: number;
  /** Names it is reached by, beside this machine's own and any address. */
  readonly hosts: readonly string[];
  readonly sessions: ServiceOptions['sessions'];
  /** Servers that run for one client each. */
  readonly servers: number;
  readonly say: (line: string) => void;
}

export interface Bridge {
  readonly url: string;
  health(): Health;
  /** Says that it is not ready, answers what comes for `least` milliseconds, and what is under way for `most` at most; then ends. */
  drain(least: number, most: number): Promise<void>;
  close(): Promise<void>;
}

const NAME = 'server';
const MAX_BODY = 16 * 1024 * 1024;
/** For connections to end by themselves, in milliseconds. */
const CLOSE_GRACE = 1_000;

/**
 * One server over stdio as Streamable HTTP at `/mcp`, in both generations, for whoever reaches it: a gateway's own way of serving, without its
 * tokens, rules and records. Those are outside, in the gateway, which is the only one that the network lets in.
 * @throws McpBuildError `address-unavailable`
 */
export async function openBridge(options: BridgeOptions): Promise<Bridge> {
  let draining = false;
  let active = 0;
  const names = guard({ hosts: options.hosts, origins: [], anyHost: false });
  // No page can have an address as its name and belong to somebody else; the prober of a cluster uses nothing but the address.
  const addresses = guard({ hosts: [], origins: [], anyHost: true });
  const behind = service({
    name: NAME,
    open: options.open,
    rules: { readOnly: false },
    sessions: options.sessions,
    lazy: false,
    first: 'modern',
    limits: { ...BACKEND_LIMITS, ...SESSION_LIMITS, own: options.servers },
    timeout: 0,
    say: options.say,
  });
  const sessions = options.sessions === 'shared' ? adoption(behind) : undefined;
  const health = (): Health => {
    const state = behind.state();
    return { ready: state === 'up' && !draining, servers: { [NAME]: { state } } };
  };
  const answer = front({
    guard: () => (request, response) => (isAddress(request) ? addresses : names)(request, response),
    door: () => ({ enter: () => ANYBODY, admit: () => ({ status: 403, why: 'There is nothing to see here' }) }),
    service: (name) => (name === NAME ? behind : undefined),
    health,
    metadata: () => undefined,
    base: () => '',
    maxBody: () => MAX_BODY,
  });
  const listening = await listenOn(
    { kind: 'tcp', host: '', port: options.port },
    (request: IncomingMessage, response: ServerResponse) => {
      active += 1;
      response.once('close', () => {
        active -= 1;
      });
      if (draining) response.setHeader('connection', 'close');
      // Behind it is one server: its address needs no name.
      request.url = routed(request.url ?? '/');
      const adopted = sessions?.(request);
      if (adopted) void adopted.then(() => answer(request, response));
      else answer(request, response);
    },
    undefined,
  );
  const bridge: Bridge = {
    url: listening.url,
    health,
    async drain(least, most) {
      draining = true;
      const start = Date.now();
      for (;;) {
        const passed = Date.now() - start;
        if (passed >= most || (passed >= least && active === 0)) break;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      await bridge.close();
    },
    async close() {
      const closing = listening.close(CLOSE_GRACE);
      await behind.close();
      await closing;
    },
  };
  return bridge;
}

/** How many sessions of other bridges are known by another name here. */
const ADOPTED = 10_000;

/**
 * Where clients share one server, a session holds nothing that another bridge of the same server couldn't make up: one that was opened elsewhere, by a pod that
 * is gone or that this request wasn't led to, goes on here.
 * @returns undefined where nothing is to be waited for
 */
function adoption(behind: Service): (request: IncomingMessage) => Promise<void> | undefined {
  const known = new Map<string, string>();
  const nobody = { clientInfo: { name: 'unknown', version: '0' }, capabilities: {} };
  return ({ headers }) => {
    const id = headers['mcp-session-id'];
    if (typeof id !== 'string' || behind.find(id, ANYBODY)) return undefined;
    const other = known.get(id);
    if (other !== undefined && behind.find(other, ANYBODY)) {
      headers['mcp-session-id'] = other;
      return undefined;
    }
    // Whoever makes up names gets no more than whoever says initialize.
    if (!/^[\w-]{16,64}$/.test(id)) return undefined;
    const version = headers['mcp-protocol-version'];
    return behind.open(ANYBODY, nobody, typeof version === 'string' ? version : LEGACY).then(
      (session) => {
        known.set(id, session.id);
        const [oldest = ''] = known.keys();
        if (known.size > ADOPTED) known.delete(oldest);
        headers['mcp-session-id'] = session.id;
      },
      // It is answered as any session that is not known.
      () => undefined,
    );
  };
}

/** `/mcp` and the two addresses of health; everything else leads nowhere. */
function routed(url: string): string {
  const at = url.indexOf('?');
  const path = at < 0 ? url : url.slice(0, at);
  if (path === '/mcp' || path === '/mcp/') return `/${NAME}/mcp`;
  return path === '/_healthz' || path === '/_readyz' ? path : '/';
}

function isAddress({ headers: { host = '' } }: IncomingMessage): boolean {
  const name = host.replace(/:\d*$/, '').replace(/^\[(.*)\]$/, '$1');
  return isIP(name) !== 0;
}
