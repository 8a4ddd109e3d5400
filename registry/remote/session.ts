import { z } from 'zod';
import { McpBuildError } from '../../errors/index.ts';
import { openAuth } from './auth.ts';
import type { Credential } from './credentials.ts';
import { oneLine, plainHttpRefused, protocolFault, TransientError, unauthorized } from './fault.ts';
import type { Network } from './network.ts';
import { type Budget, budgetOf, isTransientStatus, type Persistence, retryAfter, retrying } from './retry.ts';
import { exchange, type Incoming, type Outgoing, type Patience, readBody } from './wire.ts';

export interface Call {
  readonly method: Outgoing['method'];
  /** A path below `/v2/`, or where the registry has sent us. */
  readonly to: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** `open` is called once an attempt. */
  readonly body?: { readonly size: number; readonly open: () => AsyncIterable<Uint8Array> };
  readonly scopes: readonly string[];
  /** Statuses that are answers; every other one is an error. */
  readonly expect: readonly number[];
  /** The caller repeats more than this one request when it fails. */
  readonly once?: boolean;
}

/** Requests to one registry: with its credentials, redirects, repetition; every failure an error with a code. */
export interface Session {
  readonly registry: string;
  /**
   * @throws McpBuildError `unauthorized`, `not-found`, `registry-refused`, `registry-unavailable`, `tls`, `plain-http-refused`,
   * `address-refused`
   */
  call(call: Call): Promise<Incoming>;
  budget(): Budget;
  /** Where an answer's Location points, and that its host may be talked to. Our own host over http is taken as the https we use. */
  location(answer: Incoming): Promise<URL>;
  /** Whether a URL is the registry's own. */
  own(url: URL): Promise<boolean>;
}

export interface SessionOptions {
  readonly registry: string;
  readonly network: Network;
  readonly credential: () => Promise<Credential | undefined>;
  readonly patience: Patience;
  readonly persistence: Persistence;
  readonly signal?: AbortSignal | undefined;
}

const REDIRECTS = 5;
const AGENT = 'mcp-build';

export function openSession(options: SessionOptions): Session {
  const { registry, network, signal } = options;

  const send = async (outgoing: Outgoing): Promise<Incoming> => {
    const headers = { 'user-agent': AGENT, 'accept-encoding': 'identity', ...outgoing.headers };
    try {
      return await exchange({ ...outgoing, headers }, await network.channel(outgoing.url), options.patience, signal);
    } catch (error) {
      // Node knows the public authorities; a company's own is often in the system's list only.
      const untrusted = error instanceof McpBuildError && error.code === 'tls' && !outgoing.body;
      if (!untrusted || !network.trustSystem()) throw error;
      return exchange({ ...outgoing, headers }, await network.channel(outgoing.url), options.patience, signal);
    }
  };
  const auth = openAuth(registry, options.credential, send);
  const own = async (url: URL) => url.origin === (await network.origin()).origin;

  /** One request with the redirects it leads to. Only the registry itself is shown its credentials. */
  const hops = async (call: Call, authorization: string | undefined): Promise<Incoming> => {
    let url = typeof call.to === 'string' ? new URL(`/v2/${call.to}`, await origin()) : call.to;
    for (let hop = 0; ; hop++) {
      const mine = await own(url);
      const answer = await send({
        method: call.method,
        url,
        headers: { ...call.headers, ...(mine && authorization !== undefined ? { authorization } : {}) },
        ...(call.body ? { body: { size: call.body.size, bytes: call.body.open() } } : {}),
      });
      const readable = call.method === 'GET' || call.method === 'HEAD';
      if (!readable || ![301, 302, 303, 307, 308].includes(answer.status) || call.expect.includes(answer.status))
        return answer;
      await answer.discard();
      if (hop === REDIRECTS) throw protocolFault(registry, `redirects more than ${REDIRECTS} times`);
      url = await next(answer, url);
    }
  };

  const next = async (answer: Incoming, from: URL): Promise<URL> => {
    const { location } = answer.headers;
    if (!location || !URL.canParse(location, from)) throw protocolFault(from.host, 'redirects to nowhere');
    const to = new URL(location, from);
    if (!/^https?:$/.test(to.protocol) || to.username || to.password)
      throw protocolFault(from.host, 'redirects to what is no plain URL');
    const home = await network.origin();
    // Registries behind a proxy that ends TLS often name themselves by http.
    if (to.protocol === 'http:' && home.protocol === 'https:') {
      if (to.hostname !== home.hostname) throw plainHttpRefused(to.host);
      return new URL(`${to.pathname}${to.search}`, home);
    }
    return to;
  };

  const origin = async (): Promise<URL> => {
    try {
      return await network.origin();
    } catch (error) {
      if (!(error instanceof McpBuildError) || error.code !== 'tls' || !network.trustSystem()) throw error;
      return network.origin();
    }
  };

  const attempt = async (call: Call): Promise<Incoming> => {
    await origin();
    for (let round = 0; ; round++) {
      const sent = await auth.header(call.scopes);
      const answer = await hops(call, sent);
      if (call.expect.includes(answer.status)) return answer;
      const mine = await own(answer.url);
      if (answer.status !== 401 || !mine) throw await faultOf(call, answer, mine);
      const challenge = answer.headers['www-authenticate'];
      if (round >= 2 || !(await auth.refused(challenge, call.scopes, sent))) throw await faultOf(call, answer, mine);
      await answer.discard();
    }
  };

  const faultOf = async (call: Call, answer: Incoming, mine: boolean): Promise<McpBuildError> => {
    const { status, url } = answer;
    const details = await detailsOf(answer);
    const name = mine ? registry : `${url.host} (where ${registry} keeps it)`;
    // We have hashed what we sent: it was changed on the way, or the registry has tripped over another writer of the same blob.
    const garbled = call.method === 'PUT' && status === 400 && details.startsWith(' (DIGEST_INVALID');
    if (garbled || isTransientStatus(status)) {
      return new TransientError(
        `${name} answers ${status}${details}`,
        url.host,
        retryAfter(answer.headers['retry-after']),
      );
    }
    if (status === 401 || status === 403) return unauthorized(name, registry, `${details} (${status})`, auth.known());
    return new McpBuildError({
      code: status === 404 ? 'not-found' : 'registry-refused',
      message: `${name} answers ${status} to ${url.pathname}${details}`,
      input: url.pathname,
      fix:
        status === 404
          ? 'Check the name, tag or digest, and that this account may see it.'
          : 'Check what the registry says; it did not take the request.',
      exit: status === 404 ? 1 : 5,
    });
  };

  const budget = () => budgetOf(options.persistence, signal);
  return {
    registry,
    call: (call) => (call.once ? attempt(call) : retrying(budget(), () => attempt(call))),
    budget,
    location: (answer) => next(answer, answer.url),
    own,
  };
}

const errorsSchema = z.object({
  errors: z.array(z.object({ code: z.string().optional(), message: z.string().optional() })).max(100),
});

/** What the registry says about an error (distribution-spec, "Error Codes"), or nothing. */
async function detailsOf(answer: Incoming): Promise<string> {
  try {
    const result = errorsSchema.safeParse(JSON.parse((await readBody(answer, 64 * 1024)).toString()));
    const first = result.data?.errors[0];
    const text = oneLine([first?.code, first?.message].filter(Boolean).join(': '));
    return text ? ` (${text})` : '';
  } catch {
    return '';
  } finally {
    await answer.discard();
  }
}
