import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { McpBuildError } from '../errors/index.ts';
import { readBounded } from '../files/index.ts';
import { docker } from './docker.ts';
import { type Answer, engine } from './engine.ts';
import type { Exit } from './runtime.ts';
import type { Session } from './session.ts';

/** What is written of a keeper, for whoever looks for it. No value of a variable is in it. */
const recordSchema = z.object({
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,40}$/),
  /** As it was asked for: `run` of the same finds it. */
  target: z.string().max(1000),
  socket: z.string().max(200),
  pid: z.int().positive(),
  /** How its image is verified and found: what whoever takes one without naming the source needs. */
  verify: z.object({
    bin: z.string().optional(),
    part: z.string().optional(),
    keys: z.array(z.string()).optional(),
    /** As `parsePermissions` reads them. */
    permissions: z.unknown(),
    registry: z.object({ plainHttp: z.boolean().optional(), certificates: z.string().optional() }),
  }),
  /** Seconds since the epoch. */
  since: z.number(),
});
export type KeptRecord = z.infer<typeof recordSchema>;

export const takeSchema = z.strictObject({
  /** The image that its client has just verified. */
  digest: z.string().max(200).optional(),
  fingerprint: z.string().max(200).optional(),
});
export type Take = z.infer<typeof takeSchema>;

const faultSchema = z.object({
  code: z.string(),
  message: z.string(),
  fix: z.string().optional(),
  exit: z.union([z.literal(0), z.literal(1), z.literal(2), z.literal(3), z.literal(4), z.literal(5)]).optional(),
});

const statusSchema = recordSchema.extend({
  state: z.enum(['ready', 'starting', 'waiting', 'idle', 'stopped', 'given-up', 'closed']),
  /** Containers that wait, and those that have a client. */
  ready: z.array(z.string()),
  used: z.array(z.string()),
  /** Starts that failed, and ends by themselves, since one was last steady. */
  failures: z.number(),
  error: faultSchema.optional(),
});
export type KeeperStatus = z.infer<typeof statusSchema>;

const takenSchema = z.object({ container: z.string().regex(/^mcp-build-[a-zA-Z0-9_.-]{1,200}$/) });
const RECORD_LIMIT = 16 * 1024;
/** For a keeper to answer, in milliseconds. One that is stuck must not hold up a start without it. */
const PROMPT = 2_000;
/** For one to start its servers anew, or to stop them. */
const PATIENT = 60_000;

export function recordFile(folder: string, name: string): string {
  return join(folder, `${name}.json`);
}

/** The keepers that a user has started, by name. Those of ones that were killed are still among them: see `askKeeper`. */
export async function listKept(folder: string): Promise<readonly KeptRecord[]> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.json')).sort();
  const records = await Promise.all(
    names.map(async (name) => {
      const bytes = await readBounded(join(folder, name), RECORD_LIMIT).catch(() => undefined);
      return bytes ? parse(recordSchema, bytes) : undefined;
    }),
  );
  return records.filter((record) => record !== undefined);
}

/** What a keeper says of itself; undefined where there is none any more, and then its record is removed. @throws McpBuildError `keeper-unavailable` when it doesn't answer */
export async function askKeeper(folder: string, record: KeptRecord): Promise<KeeperStatus | undefined> {
  try {
    return parse(statusSchema, (await ask(record, 'GET', '/keeper')).body);
  } catch (error) {
    if (!gone(error)) throw error;
    await rm(recordFile(folder, record.name), { force: true });
    return undefined;
  }
}

/** Ends a keeper, and all servers it has started: also the ones with a client. */
export async function stopKeeper(record: KeptRecord): Promise<void> {
  await ask(record, 'POST', '/stop', {}, PATIENT);
}

/** Has a keeper start, and verify, those anew that wait. @throws McpBuildError `keeper-unavailable` */
export async function restartKeeper(record: KeptRecord): Promise<void> {
  await ask(record, 'POST', '/restart', {}, PATIENT);
}

/**
 * A server that is started and waits, if there is one of just this image and just these walls.
 * @throws McpBuildError `kept-otherwise` when it is kept with others, `keeper-unavailable`
 */
export async function takeKept(record: KeptRecord, asked: Take): Promise<Session | undefined> {
  const answer = await ask(record, 'POST', '/take', asked);
  if (answer.status === 204) return undefined;
  const { container } = parse(takenSchema, answer.body) ?? unreadable(record);
  return attachKept(record, container);
}

async function attachKept(record: KeptRecord, container: string): Promise<Session> {
  // The few requests of Docker's that a run needs are answered by a keeper, too.
  const keeper = docker({ kind: 'unix', path: record.socket });
  const waiting = new AbortController();
  const streams = await keeper.attach(container);
  const { exit } = await keeper.wait(container, waiting.signal);
  const exited = exit.catch((cause: unknown): Promise<Exit> => Promise.reject(lost(record, cause)));
  exited.catch(() => undefined);
  return {
    container,
    streams,
    exited,
    kill: (signal) => keeper.kill(container, signal),
    async close() {
      waiting.abort();
      streams.destroy();
      // The keeper removes it, and says why it ended.
      return { outOfMemory: false };
    },
  };
}

async function ask(
  record: KeptRecord,
  method: string,
  path: string,
  json?: unknown,
  timeout = PROMPT,
): Promise<Answer> {
  const request = engine({ kind: 'unix', path: record.socket });
  const answer = await request
    .request(method, path, { timeout, ...(json === undefined ? {} : { json }) })
    .catch((cause: unknown) => Promise.reject(unavailable(record, cause)));
  if (answer.status < 300) return answer;
  const fault = parse(faultSchema, answer.body) ?? unreadable(record);
  throw keptFault(fault);
}

/** What a keeper said went wrong, as an error of this process. */
export function keptFault({ code, message, fix, exit }: NonNullable<KeeperStatus['error']>): McpBuildError {
  return new McpBuildError({ code, message, ...(fix ? { fix } : {}), ...(exit ? { exit } : {}) });
}

function parse<T>(schema: z.ZodType<T>, bytes: Buffer): T | undefined {
  try {
    return schema.safeParse(JSON.parse(bytes.toString('utf8'))).data;
  } catch {
    return undefined;
  }
}

/** Nobody listens there: it was killed, or the machine was started again. */
function gone(error: unknown): boolean {
  const { cause } = error as { cause?: { cause?: NodeJS.ErrnoException } };
  return ['ENOENT', 'ECONNREFUSED'].includes(cause?.cause?.code ?? '');
}

function unavailable(record: KeptRecord, cause: unknown): McpBuildError {
  return new McpBuildError({
    code: 'keeper-unavailable',
    message: `What keeps "${record.name}" ready (process ${record.pid}) does not answer`,
    input: record.name,
    fix: `End it, and start it again: kill ${record.pid}; its servers end with it.`,
    cause,
  });
}

function unreadable(record: KeptRecord): never {
  throw unavailable(record, new Error('its answer can not be understood'));
}

function lost(record: KeptRecord, cause: unknown): McpBuildError {
  return new McpBuildError({
    code: 'keeper-lost',
    message: `What kept "${record.name}" ready ended while the server ran`,
    input: record.name,
    fix: 'Start it again with `mcp-build start`.',
    cause,
  });
}
