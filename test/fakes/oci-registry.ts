import { createHash, randomBytes } from 'node:crypto';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';

/** What came in over the wire, credentials included. */
export interface Seen {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: http.IncomingHttpHeaders;
}

export interface Exchange extends Seen {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** Takes a request over from the registry: returns false to leave it alone. */
export type Fault = (exchange: Exchange) => boolean | Promise<boolean>;

export interface OciRegistryOptions {
  /** Answer the referrers API and `OCI-Subject`. Default true. */
  readonly referrers?: boolean;
  /** Say `OCI-Subject` without having the API, as some do. */
  readonly subjectHeaderOnly?: boolean;
  /** Referrers a page. */
  readonly pageSize?: number;
  /** Heed If-Match and If-None-Match on manifests. Default false, as most don't. */
  readonly conditional?: boolean;
  readonly ranges?: boolean;
  /** In bytes, of one request's body; more is answered 413. */
  readonly bodyLimit?: number;
  readonly chunkMinimum?: number;
  readonly auth?: OciAuth;
  readonly tls?: { readonly certificate: string; readonly key: string; readonly clientCa?: string };
  /** In milliseconds, before each answer. */
  readonly delay?: number;
}

export type OciAuth =
  | { readonly scheme: 'basic'; readonly username: string; readonly password: string }
  | {
      readonly scheme: 'bearer';
      readonly username?: string;
      readonly password?: string;
      readonly refreshToken?: string;
      /** Instead of this server's own `/token`. */
      readonly realm?: string;
      /** Refuses GET, as servers that speak OAuth2 only do. */
      readonly postOnly?: boolean;
      /** Without credentials, tokens that may pull. */
      readonly anonymousPull?: boolean;
      /** In seconds. */
      readonly expires?: number;
    };

interface Stored {
  readonly bytes: Buffer;
  readonly type: string;
}

export interface Repository {
  readonly blobs: Map<string, Buffer>;
  /** By digest. */
  readonly manifests: Map<string, Stored>;
  readonly tags: Map<string, string>;
}

export interface OciRegistry extends AsyncDisposable {
  /** `127.0.0.1:port`. */
  readonly host: string;
  readonly port: number;
  readonly seen: Seen[];
  readonly faults: Fault[];
  repository(name: string): Repository;
}

const PATH = /^\/v2\/(?<name>[a-z0-9/._-]+)\/(?<kind>blobs|manifests|referrers)\/(?<rest>[^?]*)/;

/** A registry by the distribution-spec 1.1, in memory, whose faults a test injects on the wire. */
export async function startOciRegistry(options: OciRegistryOptions = {}): Promise<OciRegistry> {
  const repositories = new Map<string, Repository>();
  const uploads = new Map<string, Buffer[]>();
  const tokens = new Map<string, { readonly scopes: readonly string[]; readonly expires: number }>();
  const seen: Seen[] = [];
  const faults: Fault[] = [];
  const repository = (name: string): Repository => {
    let found = repositories.get(name);
    if (!found) {
      found = { blobs: new Map(), manifests: new Map(), tags: new Map() };
      repositories.set(name, found);
    }
    return found;
  };

  const answer = async (exchange: Exchange): Promise<void> => {
    const { request, response, method, path } = exchange;
    const url = new URL(path, 'http://fake');
    const send = (status: number, headers: http.OutgoingHttpHeaders = {}, body: Uint8Array | string = '') => {
      response.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers });
      response.end(method === 'HEAD' ? undefined : body);
    };
    const fail = (status: number, code: string) =>
      send(
        status,
        { 'content-type': 'application/json' },
        JSON.stringify({ errors: [{ code, message: `the registry says ${code}` }] }),
      );
    if (url.pathname === '/token') return token(exchange, url, send);
    const { name = '', kind, rest = '' } = PATH.exec(url.pathname)?.groups ?? {};
    if (!authorized(exchange, name, url, send)) return;
    if (url.pathname === '/v2/') return send(200);
    const repo = repository(name);
    if (kind === 'blobs' && rest.startsWith('uploads/'))
      return upload(exchange, url, repo, name, rest.slice('uploads/'.length), send, fail);
    if (kind === 'blobs') {
      const blob = repo.blobs.get(rest);
      if (!blob) return fail(404, 'BLOB_UNKNOWN');
      const range = options.ranges === false ? undefined : /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
      if (!range) return send(200, { 'content-type': 'application/octet-stream', 'docker-content-digest': rest }, blob);
      const from = Number(range[1]);
      return send(206, { 'content-range': `bytes ${from}-${blob.length - 1}/${blob.length}` }, blob.subarray(from));
    }
    if (kind === 'manifests') return manifest(exchange, repo, rest, send, fail);
    if (kind === 'referrers' && options.referrers !== false && !options.subjectHeaderOnly) {
      return referrers(url, repo, name, rest, send);
    }
    return fail(404, 'UNSUPPORTED');
  };

  type Send = (status: number, headers?: http.OutgoingHttpHeaders, body?: Uint8Array | string) => void;
  type Fail = (status: number, code: string) => void;

  const upload = async (
    exchange: Exchange,
    url: URL,
    repo: Repository,
    name: string,
    id: string,
    send: Send,
    fail: Fail,
  ) => {
    const { method, request } = exchange;
    const digest = url.searchParams.get('digest');
    if (method === 'POST') {
      const from = url.searchParams.get('from');
      const mounted = from && repositories.get(from)?.blobs.get(url.searchParams.get('mount') ?? '');
      if (mounted) {
        repo.blobs.set(url.searchParams.get('mount')!, mounted);
        return send(201, { location: `/v2/${name}/blobs/${url.searchParams.get('mount')}` });
      }
      const fresh = randomBytes(8).toString('hex');
      uploads.set(fresh, []);
      const minimum = options.chunkMinimum ? { 'oci-chunk-min-length': options.chunkMinimum } : {};
      return send(202, { location: `/v2/${name}/blobs/uploads/${fresh}?_state=a%2Bb%3D`, ...minimum });
    }
    const parts = uploads.get(id);
    if (!parts || url.searchParams.get('_state') !== 'a+b=') return fail(404, 'BLOB_UPLOAD_UNKNOWN');
    if (options.bodyLimit && Number(request.headers['content-length'] ?? 0) > options.bodyLimit) {
      send(413);
      request.resume();
      return;
    }
    const had = Buffer.concat(parts).length;
    if (method === 'PATCH' && request.headers['content-range']?.split('-')[0] !== String(had))
      return fail(416, 'RANGE_INVALID');
    const body = await bodyOf(request);
    if (!body) return;
    parts.push(body);
    if (method === 'PATCH') {
      return send(202, {
        location: `/v2/${name}/blobs/uploads/${id}?_state=a%2Bb%3D`,
        range: `0-${had + body.length - 1}`,
      });
    }
    const bytes = Buffer.concat(parts);
    uploads.delete(id);
    if (digestOf(bytes) !== digest) return fail(400, 'DIGEST_INVALID');
    repo.blobs.set(digest, bytes);
    return send(201, { location: `/v2/${name}/blobs/${digest}`, 'docker-content-digest': digest });
  };

  const manifest = async (exchange: Exchange, repo: Repository, rest: string, send: Send, fail: Fail) => {
    const { method, request } = exchange;
    const digest = repo.tags.get(rest) ?? rest;
    const stored = repo.manifests.get(digest);
    if (method === 'GET' || method === 'HEAD') {
      if (!stored) return fail(404, 'MANIFEST_UNKNOWN');
      const headers = { 'content-type': stored.type, 'docker-content-digest': digest, etag: `"${digest}"` };
      return send(200, headers, stored.bytes);
    }
    const body = await bodyOf(request);
    if (!body) return;
    if (options.conditional) {
      const current = repo.tags.get(rest);
      const match = request.headers['if-match'];
      if (match !== undefined && match !== `"${current}"`) return fail(412, 'PRECONDITION');
      if (request.headers['if-none-match'] === '*' && current !== undefined) return fail(412, 'PRECONDITION');
    }
    const parsed = JSON.parse(body.toString()) as {
      subject?: { digest: string };
      config?: { digest: string };
      layers?: { digest: string }[];
      manifests?: { digest: string }[];
    };
    const own = digestOf(body);
    if (rest.startsWith('sha256:') && rest !== own) return fail(400, 'DIGEST_INVALID');
    for (const one of [...(parsed.config ? [parsed.config] : []), ...(parsed.layers ?? [])]) {
      if (!repo.blobs.has(one.digest)) return fail(400, 'MANIFEST_BLOB_UNKNOWN');
    }
    for (const one of parsed.manifests ?? []) {
      if (!repo.manifests.has(one.digest)) return fail(400, 'MANIFEST_UNKNOWN');
    }
    repo.manifests.set(own, { bytes: body, type: request.headers['content-type'] ?? '' });
    if (!rest.startsWith('sha256:')) repo.tags.set(rest, own);
    const says = parsed.subject && (options.referrers !== false || options.subjectHeaderOnly);
    return send(201, { 'docker-content-digest': own, ...(says ? { 'oci-subject': parsed.subject!.digest } : {}) });
  };

  const referrers = (url: URL, repo: Repository, name: string, subject: string, send: Send) => {
    const found = [...repo.manifests].flatMap(([digest, { bytes, type }]) => {
      const parsed = JSON.parse(bytes.toString()) as {
        subject?: { digest: string };
        artifactType?: string;
        config?: { mediaType: string };
        annotations?: object;
      };
      if (parsed.subject?.digest !== subject) return [];
      const artifactType = parsed.artifactType ?? parsed.config?.mediaType;
      return [{ mediaType: type, digest, size: bytes.length, artifactType, annotations: parsed.annotations }];
    });
    const start = Number(url.searchParams.get('start') ?? 0);
    const end = start + (options.pageSize ?? found.length);
    const next = end < found.length ? { link: `</v2/${name}/referrers/${subject}?start=${end}>; rel="next"` } : {};
    const type = 'application/vnd.oci.image.index.v1+json';
    const body = JSON.stringify({ schemaVersion: 2, mediaType: type, manifests: found.slice(start, end) });
    return send(200, { 'content-type': type, ...next }, body);
  };

  const authorized = (exchange: Exchange, name: string, url: URL, send: Send): boolean => {
    const { auth } = options;
    if (!auth) return true;
    const { authorization = '' } = exchange.request.headers;
    if (auth.scheme === 'basic') {
      if (authorization === `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}`) return true;
      send(401, { 'www-authenticate': 'Basic realm="fake"' });
      return false;
    }
    const action = ['GET', 'HEAD'].includes(exchange.method) ? 'pull' : 'push';
    const needed = name === '' ? [] : [`${name}:${action}`];
    const from = url.searchParams.get('from');
    if (from) needed.push(`${from}:pull`);
    const held = tokens.get(authorization.replace(/^Bearer /, ''));
    if (held && held.expires > Date.now() && needed.every((scope) => held.scopes.includes(scope))) return true;
    const realm = auth.realm ?? `${options.tls ? 'https' : 'http'}://${registry.host}/token`;
    const scope = name === '' ? '' : `,scope="repository:${name}:${action === 'push' ? 'pull,push' : 'pull'}"`;
    const error = held ? ',error="insufficient_scope"' : '';
    send(401, { 'www-authenticate': `Bearer realm="${realm}",service="fake"${scope}${error}` });
    return false;
  };

  const token = async (exchange: Exchange, url: URL, send: Send): Promise<void> => {
    const { auth } = options;
    if (auth?.scheme !== 'bearer') return send(404);
    let parameters = url.searchParams;
    let known = false;
    if (exchange.method === 'POST') {
      parameters = new URLSearchParams((await bodyOf(exchange.request))?.toString());
      known =
        parameters.get('grant_type') === 'refresh_token'
          ? auth.refreshToken !== undefined && parameters.get('refresh_token') === auth.refreshToken
          : parameters.get('username') === auth.username && parameters.get('password') === auth.password;
      if (!known) return send(401);
    } else {
      if (auth.postOnly) return send(405);
      const basic = `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}`;
      known = auth.username !== undefined && exchange.request.headers.authorization === basic;
      if (exchange.request.headers.authorization !== undefined && !known) return send(401);
    }
    const granted = parameters
      .getAll('scope')
      .flatMap((scopes) => scopes.split(' '))
      .flatMap((scope) => {
        const [, name, actions = ''] = scope.split(':');
        return actions.split(',').map((action) => `${name}:${action}`);
      })
      .filter((scope) => known || (auth.anonymousPull === true && scope.endsWith(':pull')));
    const value = randomBytes(12).toString('base64url');
    const seconds = auth.expires ?? 300;
    tokens.set(value, { scopes: granted, expires: Date.now() + seconds * 1000 });
    send(200, { 'content-type': 'application/json' }, JSON.stringify({ token: value, expires_in: seconds }));
  };

  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const one: Seen = { method: request.method ?? '', path: request.url ?? '', headers: request.headers };
    seen.push(one);
    response.on('error', () => undefined);
    if (options.delay) await new Promise((resolve) => setTimeout(resolve, options.delay));
    for (const fault of [...faults]) if (await fault({ ...one, request, response })) return;
    await answer({ ...one, request, response });
  };
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    handle(request, response).catch((error: Error) => {
      response.destroy(error);
    });
  };
  const server = options.tls
    ? https.createServer(
        {
          cert: options.tls.certificate,
          key: options.tls.key,
          ...(options.tls.clientCa ? { ca: options.tls.clientCa, requestCert: true, rejectUnauthorized: true } : {}),
        },
        listener,
      )
    : http.createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const registry: OciRegistry = {
    host: `127.0.0.1:${port}`,
    port,
    seen,
    faults,
    repository,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return registry;
}

/** A fault for the next `times` requests that match; `times` may be Infinity. */
export function inject(
  registry: OciRegistry,
  matches: (seen: Seen) => boolean,
  act: (exchange: Exchange) => void,
  times = 1,
): void {
  let left = times;
  const fault: Fault = (exchange) => {
    if (left <= 0 || !matches(exchange)) return false;
    left--;
    act(exchange);
    return true;
  };
  registry.faults.push(fault);
}

async function bodyOf(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request) chunks.push(chunk as Buffer);
  } catch {
    return undefined;
  }
  return request.complete ? Buffer.concat(chunks) : undefined;
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
