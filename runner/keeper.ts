import { chmod, rm, stat } from 'node:fs/promises';
import http from 'node:http';
import { dirname } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Digest } from '../digest/index.ts';
import { isFault, McpBuildError } from '../errors/index.ts';
import { makeFolders, writeAtomic } from '../files/index.ts';
import { type Handed, hand } from './handed.ts';
import type { Timing } from './keep.ts';
import { type KeeperStatus, type KeptRecord, takeSchema } from './kept.ts';
import type { Log } from './log.ts';
import { type PoolEvent, pool, type Restart } from './pool.ts';
import { redactor } from './redact.ts';
import type { Exit } from './runtime.ts';
import type { Session, SessionOptions } from './session.ts';
import { STOP_SECONDS } from './spec.ts';
import { type Standby, standby } from './standby.ts';

/** For a server to answer its first ping, in milliseconds: an interpreter and its libraries, on a busy machine. */
const READY = 30_000;
/** For who has taken a server to attach to it, in milliseconds. */
const CLAIM = 10_000;
const OUT_OF_MEMORY = 'the server used more memory than it may and was killed; give it more with --memory';
const BODY_LIMIT = 64 * 1024;
/** How often it is looked whether the state folder is still there, in milliseconds. */
const LOOK = 2_000;

export interface KeeperOptions {
  readonly record: KeptRecord;
  /** Where `record` is written, once servers can be asked for. */
  readonly file: string;
  /** Of everything that shapes the container: who asks with another is not given this one. */
  readonly fingerprint: string;
  readonly size: number;
  readonly restart: Restart;
  readonly timing?: Partial<Timing>;
  /** Values that are taken out of whatever is logged or passed on. */
  readonly environment: Readonly<Record<string, string>>;
  /** Verifies, and starts what verified. Called anew for each start. */
  readonly open: (hooks: Pick<SessionOptions, 'say' | 'onDecision'>) => Promise<Opened>;
  /** Of the keeper itself. */
  readonly log: Log;
  readonly logOf: (container: string) => Promise<Log>;
  readonly signal: AbortSignal;
}

export interface Opened {
  readonly session: Session;
  /** Of the image that was verified. */
  readonly digest: Digest;
}

interface Kept {
  readonly standby: Standby;
  readonly digest: Digest;
  outOfMemory: boolean;
}

/**
 * Keeps one server started ahead of its use, and hands it to who asks: on a Unix socket of this user alone, with those requests of Docker's Engine API that a
 * run needs for its streams, its end and its signals. Nothing of it listens on a network.
 * @returns when it has been stopped, by a request, the signal, or because its folder is gone; nothing of its is left then
 */
export async function serveKeeper(options: KeeperOptions): Promise<void> {
  const { record, environment, log } = options;
  const redact = redactor(environment);
  const note = (line: string) =>
    log.write(Buffer.from(`${new Date().toISOString()} ${redact.text(line).replaceAll('\n', ' ')}\n`));
  const over = new AbortController();
  const handed = new Map<string, Handed>();

  const start = async () => {
    const { session, digest } = await options.open({
      say: note,
      onDecision: ({ host, port, allowed, reason }) => {
        if (!allowed) note(`refused ${host}:${port} (${reason})`);
      },
    });
    const own = await options.logOf(session.container).catch(() => undefined);
    const shown = redactor(environment);
    const held = standby(session, {
      onStderr(bytes) {
        const clean = shown.bytes(bytes);
        own?.write(clean);
        log.write(clean);
        return clean;
      },
    });
    const end = () => own?.close();
    held.ended.then(end, end).catch(() => undefined);
    await answers(held).catch(async (error: unknown) => {
      await stopSession(session);
      throw error;
    });
    note(`${session.container} is ready, ${digest}`);
    const up: Kept = { standby: held, digest, outOfMemory: false };
    const stop = async () => {
      up.outOfMemory = (await stopSession(session)).outOfMemory;
    };
    return { up, ended: held.ended, stop };
  };
  const servers = pool<Kept>({
    size: options.size,
    start,
    ping: ({ standby }) => standby.ping(),
    failed: (ended) => (ended as Exit).code !== 0,
    restart: options.restart,
    ...(options.timing ? { timing: options.timing } : {}),
    onEvent: (event) => note(told(event)),
  });

  const take = (asked: { readonly digest?: string | undefined; readonly fingerprint?: string | undefined }) => {
    if (asked.fingerprint !== undefined && asked.fingerprint !== options.fingerprint) throw otherwise(record.name);
    const stale = servers.ready().some(({ digest }) => asked.digest !== undefined && asked.digest !== digest);
    if (stale) {
      // What verifies now is another image than what waits: an update, or a policy that has changed.
      void servers.replace().catch(() => undefined);
      return undefined;
    }
    const taken = servers.take();
    if (!taken) return undefined;
    const { session } = taken.up.standby;
    const one = hand(taken.up.standby, {
      claim: CLAIM,
      stop: taken.stop,
      epitaph: () => (taken.up.outOfMemory ? OUT_OF_MEMORY : undefined),
      onEnd: (why) => {
        handed.delete(session.container);
        note(`${session.container} has ended: ${why}`);
      },
    });
    handed.set(session.container, one);
    return session.container;
  };

  const status = (): KeeperStatus => ({
    ...record,
    state: servers.state(),
    ready: servers.ready().map(({ standby: { session } }) => session.container),
    used: [...handed.keys()],
    failures: servers.failures(),
    ...faultOf(servers.lastError()),
  });

  const server = http.createServer(async (request, response) => {
    const path = (request.url ?? '').replace(/^\/v[0-9.]+/, '');
    const answer = (code: number, body?: unknown) => {
      // One question a connection: clients come and go, and none is to hold one open.
      response.writeHead(code, { 'content-type': 'application/json', 'api-version': '1.41', connection: 'close' });
      response.end(body === undefined ? '' : JSON.stringify(body));
    };
    try {
      const body = await bodyOf(request);
      const [, name, action] = /^\/containers\/([^/?]+)\/(wait|kill)\b/.exec(path) ?? [];
      const one = handed.get(decodeURIComponent(name ?? ''));
      if (request.method === 'GET' && path === '/_ping') return answer(200);
      if (request.method === 'GET' && path === '/keeper') return answer(200, status());
      if (request.method !== 'POST') return answer(404, { message: `no ${path}` });
      if (path === '/take') {
        const container = take(takeSchema.parse(JSON.parse(body)));
        return container ? answer(200, { container }) : answer(204);
      }
      if (path === '/restart') {
        await servers.replace();
        return answer(204);
      }
      if (path === '/stop') {
        response.once('finish', () => over.abort());
        return answer(204);
      }
      if (!one) return answer(404, { message: 'No such container' });
      if (action === 'wait') return one.wait(response);
      const signal = new URL(path, 'http://keeper').searchParams.get('signal') ?? 'SIGKILL';
      await one.kill(signal as NodeJS.Signals);
      return answer(204);
    } catch (error) {
      const { message, fix, exit } = error as Partial<McpBuildError>;
      answer(isFault(error) ? 409 : 400, { message, fix, exit, code: isFault(error) ? error.code : 'request-invalid' });
    }
  });
  server.on('upgrade', (request, connection: Duplex) => {
    const name = /^(?:\/v[0-9.]+)?\/containers\/([^/?]+)\/attach/.exec(request.url ?? '')?.[1];
    const one = handed.get(decodeURIComponent(name ?? ''));
    if (one) one.attach(connection);
    else connection.end('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n');
  });

  const { socket } = record;
  await makeFolders(dirname(socket), 0o700);
  await rm(socket, { force: true });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(socket, resolve));
  await chmod(socket, 0o600);
  try {
    await writeAtomic(options.file, `${JSON.stringify(record)}\n`, 0o600);
    const stopped = AbortSignal.any([over.signal, options.signal]);
    await untilLost(options.file, stopped);
    note('it is stopped');
  } finally {
    await rm(options.file, { force: true });
    await Promise.all([servers.close(), ...[...handed.values()].map((one) => one.end('the keeper was stopped'))]);
    server.close();
    server.closeAllConnections();
    await rm(socket, { force: true });
    await log.close();
  }
}

async function answers(one: Standby): Promise<void> {
  const over = new AbortController();
  const late = sleep(READY, true, { signal: over.signal }).catch(() => false);
  try {
    if (!(await Promise.race([one.ping().then(() => false), late]))) return;
  } finally {
    over.abort();
  }
  throw new McpBuildError({
    code: 'server-unresponsive',
    message: `The server has not answered a ping within ${READY / 1000} s`,
    input: one.session.container,
    fix: 'Start it with `mcp-build run` alone, without keeping it ready.',
  });
}

/** Asks it to end, and ends it when it hasn't. Called once for each session, however it came to its end. */
async function stopSession(session: Session): Promise<{ readonly outOfMemory: boolean }> {
  await session.kill('SIGTERM').catch(() => undefined);
  const over = new AbortController();
  const late = sleep(STOP_SECONDS * 1000, undefined, { signal: over.signal }).catch(() => undefined);
  await Promise.race([session.exited.catch(() => undefined), late]);
  over.abort();
  await session.kill('SIGKILL').catch(() => undefined);
  return session.close();
}

async function untilLost(file: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(LOOK, undefined, { signal }).catch(() => undefined);
    if (!(await stat(file).catch(() => undefined))) return;
  }
}

async function bodyOf(request: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > BODY_LIMIT) throw new Error('too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function told(event: PoolEvent): string {
  switch (event.kind) {
    case 'ready':
      return 'one waits for its client';
    case 'taken':
      return 'it has its client; the next is started';
    case 'ended':
      return `one that waited has ended: ${event.reason}`;
    case 'start-failed': {
      const { message, code } = event.error as Partial<McpBuildError>;
      return `it did not start: ${message}${code ? ` [${code}]` : ''}`;
    }
    case 'waiting':
      return `it is started again in ${Math.round(event.milliseconds)} ms`;
    case 'given-up':
      return 'it failed too often: it is not started again until somebody asks for it';
  }
}

function faultOf(error: unknown): Pick<KeeperStatus, 'error'> {
  if (error === undefined) return {};
  const { message, fix, exit, code } = error as Partial<McpBuildError>;
  return {
    error: {
      code: isFault(error) ? (code ?? '') : 'unexpected',
      message: message ?? String(error),
      ...(fix ? { fix } : {}),
      ...(exit ? { exit } : {}),
    },
  };
}

function otherwise(name: string): McpBuildError {
  return new McpBuildError({
    code: 'kept-otherwise',
    message: `"${name}" is kept with other permissions, variables, arguments or limits than these`,
    input: name,
    fix: 'Give `run` the same words as `start`, or use `mcp-build attach`.',
  });
}
