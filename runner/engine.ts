import { readFileSync } from 'node:fs';
import http from 'node:http';
import type https from 'node:https';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { McpBuildError } from '../errors/index.ts';
import { type Endpoint, formatEndpoint } from './endpoint.ts';
import { type Raw, upgradeUnix } from './raw.ts';
import { sshAgent, sshCommand } from './ssh.ts';

/** Answers that are read whole are cut off here, in bytes. */
const ANSWER_LIMIT = 8 * 1024 * 1024;
/** Connections that are kept when nothing goes through them: fifty servers that began together need no hundred afterwards. */
const FREE = 8;
/** For an answer to begin, in milliseconds. A daemon that pulls its disk through a slow start still makes it. */
const ANSWER_TIMEOUT = 60_000;
/** The newest API whose meaning is known here; a daemon that is older is asked in its own version. */
const NEWEST_API: readonly [number, number] = [1, 47];
/** Docker 20.10: what is older drops parts of what it is asked for without a word. */
const OLDEST_API: readonly [number, number] = [1, 41];

export interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

export interface RequestOptions {
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as a tar. */
  readonly tar?: AsyncIterable<Uint8Array>;
  /** For the answer to begin, in milliseconds; 0 waits as long as it takes. */
  readonly timeout?: number;
  readonly signal?: AbortSignal;
}

/**
 * Docker's Engine API over its socket (https://docs.docker.com/reference/api/engine/). By hand rather than with a library: it is a
 * dozen requests, and the libraries cost a tenth of a second and 16 MB in each run.
 */
export interface Engine {
  readonly endpoint: Endpoint;
  /** @throws McpBuildError `docker-unavailable` */
  request(method: string, path: string, options?: RequestOptions): Promise<Answer>;
  /** The answer as it comes, once its status is known to be good. @throws McpBuildError `docker-unavailable`, `docker-failed` */
  stream(method: string, path: string, options?: RequestOptions): Promise<http.IncomingMessage>;
  /** A raw connection to a container's streams. @throws McpBuildError `docker-unavailable`, `docker-failed` */
  upgrade(path: string): Promise<Raw>;
}

export function engine(endpoint: Endpoint): Engine {
  const agent = agentOf(endpoint);
  let version: Promise<string> | undefined;
  const open = (method: string, path: string, headers: http.OutgoingHttpHeaders, signal?: AbortSignal) =>
    begin(endpoint, { method, path, headers, agent, ...(signal ? { signal } : {}) });

  const prefix = async () => {
    version ??= negotiate(endpoint, agent);
    return version.catch((error: unknown) => {
      version = undefined;
      throw error;
    });
  };

  const send = async (method: string, path: string, options: RequestOptions, extra: http.OutgoingHttpHeaders = {}) => {
    const body = options.json === undefined ? undefined : Buffer.from(JSON.stringify(options.json));
    const headers: http.OutgoingHttpHeaders = {
      ...(body ? { 'content-type': 'application/json', 'content-length': body.length } : {}),
      ...(options.tar ? { 'content-type': 'application/x-tar' } : {}),
      ...(!body && !options.tar && method === 'POST' ? { 'content-length': 0 } : {}),
      ...extra,
    };
    const request = open(method, `${await prefix()}${path}`, headers, options.signal);
    const answer = answerOf(request, endpoint, options.timeout ?? ANSWER_TIMEOUT);
    if (options.tar) {
      // A daemon that refuses half-way answers and closes: its answer says more than the broken pipe.
      const sent = pipeline(options.tar, request).then(
        () => undefined,
        (error: unknown) => error,
      );
      const failed = await Promise.race([sent, answer.then(() => undefined)]);
      if (failed instanceof McpBuildError) {
        answer.catch(() => undefined);
        throw failed;
      }
    } else request.end(body);
    return answer;
  };

  return {
    endpoint,
    async request(method, path, options = {}) {
      const answer = await send(method, path, options);
      if ('socket' in answer && 'head' in answer) throw protocol(endpoint, `upgraded ${path}`);
      return { status: answer.statusCode ?? 0, body: await whole(answer, endpoint) };
    },
    async stream(method, path, options = {}) {
      const answer = await send(method, path, options);
      if ('head' in answer) throw protocol(endpoint, `upgraded ${path}`);
      await refuseBad(answer, endpoint);
      return answer;
    },
    async upgrade(path): Promise<Raw> {
      const headers = { connection: 'Upgrade', upgrade: 'tcp' };
      const answer =
        endpoint.kind === 'unix'
          ? await upgradeUnix(endpoint.path, `${await prefix()}${path}`).catch((error: Error) => {
              throw unavailable(endpoint, error);
            })
          : await send('POST', path, {}, headers);
      if ('chunks' in answer) return answer;
      if ('head' in answer) {
        const { socket, head } = answer;
        if (head.length > 0) socket.unshift(head);
        return { input: socket, chunks: socket, destroy: () => socket.destroy() };
      }
      if ('status' in answer) throw refusal(answer, 'to attach');
      await refuseBad(answer, endpoint);
      throw protocol(endpoint, `did not upgrade ${path}`);
    },
  };
}

interface Upgraded {
  readonly socket: Duplex;
  readonly head: Buffer;
}

async function negotiate(endpoint: Endpoint, agent: http.Agent): Promise<string> {
  const request = begin(endpoint, { method: 'GET', path: '/_ping', agent });
  const pending = answerOf(request, endpoint, ANSWER_TIMEOUT);
  request.end();
  const answer = await pending;
  if ('head' in answer) throw protocol(endpoint, 'upgraded /_ping');
  await whole(answer, endpoint);
  const offered = /^(\d+)\.(\d+)$/.exec(String(answer.headers['api-version'] ?? ''));
  if (!offered) throw protocol(endpoint, 'does not say which version of its API it speaks');
  const [major, minor] = [Number(offered[1]), Number(offered[2])];
  if (major < OLDEST_API[0] || (major === OLDEST_API[0] && minor < OLDEST_API[1])) throw tooOld(endpoint, offered[0]);
  const older = major < NEWEST_API[0] || (major === NEWEST_API[0] && minor <= NEWEST_API[1]);
  return `/v${older ? `${major}.${minor}` : NEWEST_API.join('.')}`;
}

function begin(endpoint: Endpoint, options: http.RequestOptions): http.ClientRequest {
  if (endpoint.kind === 'unix') return http.request({ ...options, socketPath: endpoint.path, host: 'docker' });
  if (endpoint.kind === 'ssh') return http.request({ ...options, host: 'docker' });
  const address = { ...options, host: endpoint.host, port: endpoint.port };
  return endpoint.certificates ? secure().request(address) : http.request(address);
}

/** Loaded where it is used: most daemons listen on a socket of this machine, and TLS takes a while to load. */
function secure(): typeof https {
  return process.getBuiltinModule('node:https');
}

function agentOf(endpoint: Endpoint): http.Agent {
  if (endpoint.kind === 'ssh') return sshAgent(endpoint);
  if (endpoint.kind === 'unix' || !endpoint.certificates)
    return new http.Agent({ keepAlive: true, maxFreeSockets: FREE });
  const read = (name: string) => readFileSync(join(endpoint.certificates ?? '', name));
  try {
    return new (secure().Agent)({
      keepAlive: true,
      maxFreeSockets: FREE,
      ca: read('ca.pem'),
      cert: read('cert.pem'),
      key: read('key.pem'),
    });
  } catch (cause) {
    throw new McpBuildError({
      code: 'docker-unavailable',
      message: `The certificates for ${formatEndpoint(endpoint)} can't be read`,
      input: endpoint.certificates,
      fix: 'Set DOCKER_CERT_PATH to the folder with ca.pem, cert.pem and key.pem.',
      cause,
    });
  }
}

function answerOf(
  request: http.ClientRequest,
  endpoint: Endpoint,
  timeout: number,
): Promise<http.IncomingMessage | Upgraded> {
  return new Promise((resolve, reject) => {
    const timer =
      timeout === 0
        ? undefined
        : setTimeout(() => request.destroy(protocol(endpoint, `did not answer within ${timeout / 1000} s`)), timeout);
    const settle = (answer: http.IncomingMessage | Upgraded) => {
      clearTimeout(timer);
      resolve(answer);
    };
    request.once('response', settle);
    request.once('upgrade', (_answer, socket, head) => settle({ socket, head }));
    request.on('error', (error) => {
      clearTimeout(timer);
      reject(error instanceof McpBuildError ? error : unavailable(endpoint, error));
    });
  });
}

/** The rest of an answer, bounded. */
export async function whole(answer: http.IncomingMessage, endpoint: Endpoint): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > ANSWER_LIMIT) throw protocol(endpoint, `answered with more than ${ANSWER_LIMIT} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    throw error instanceof McpBuildError ? error : unavailable(endpoint, error as Error);
  }
  return Buffer.concat(chunks);
}

async function refuseBad(answer: http.IncomingMessage, endpoint: Endpoint): Promise<void> {
  const status = answer.statusCode ?? 0;
  if (status >= 200 && status < 300) return;
  throw refusal({ status, body: await whole(answer, endpoint) }, 'a request');
}

/** What the daemon says in an answer with an error status. */
export function refusal(answer: Answer, what: string): McpBuildError {
  let reason = answer.body.toString('utf8', 0, 2000).trim();
  try {
    const parsed: unknown = JSON.parse(answer.body.toString('utf8'));
    if (typeof parsed === 'object' && parsed !== null && 'message' in parsed) {
      reason = String(parsed.message).slice(0, 2000);
    }
  } catch {
    // Not JSON: a proxy's page, or an old daemon's plain text.
  }
  return new McpBuildError({
    code: 'docker-failed',
    message: `Docker refused ${what} (${answer.status}): ${reason || 'it gave no reason'}`,
    fix: 'See the log of the Docker daemon.',
  });
}

function protocol(endpoint: Endpoint, what: string): McpBuildError {
  return new McpBuildError({
    code: 'docker-failed',
    message: `What listens at ${formatEndpoint(endpoint)} ${what}`,
    input: formatEndpoint(endpoint),
    fix: 'Check that it is a Docker daemon, version 20.10 or newer, and that it is not stuck.',
  });
}

function tooOld(endpoint: Endpoint, version: string): McpBuildError {
  return new McpBuildError({
    code: 'docker-too-old',
    message: `The daemon at ${formatEndpoint(endpoint)} speaks version ${version} of Docker's API, older than ${OLDEST_API.join('.')}`,
    input: formatEndpoint(endpoint),
    fix: 'Use Docker 20.10 or newer.',
  });
}

function unavailable(endpoint: Endpoint, cause: Error & { code?: string }): Error {
  if (cause.name === 'AbortError') return cause;
  const input = formatEndpoint(endpoint);
  if (cause.code === 'EACCES' || cause.code === 'EPERM') {
    return new McpBuildError({
      code: 'docker-unavailable',
      message: `You are not allowed to use the Docker daemon at ${input}`,
      input,
      fix: 'Ask to be put in the group that owns its socket (usually "docker") and log in again, or use a rootless daemon and set DOCKER_HOST to its socket.',
      cause,
    });
  }
  if (endpoint.kind === 'ssh') {
    return new McpBuildError({
      code: 'docker-unavailable',
      message: `The Docker daemon at ${input} is not to be reached: ${cause.message}`,
      input,
      fix: `See that this works without a question: ssh ${sshCommand(endpoint).slice(3).join(' ')}`,
      cause,
    });
  }
  const absent = cause.code === 'ENOENT' || cause.code === 'ECONNREFUSED';
  return new McpBuildError({
    code: 'docker-unavailable',
    message: absent
      ? `No Docker daemon listens at ${input}`
      : `The connection to the Docker daemon at ${input} was lost (${cause.code ?? cause.message})`,
    input,
    fix: 'Start Docker, or set DOCKER_HOST to the daemon you mean. Building and verifying need no Docker; running does.',
    cause,
  });
}
