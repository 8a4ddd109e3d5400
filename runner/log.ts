import { createReadStream } from 'node:fs';
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { McpBuildError } from '../errors/index.ts';
import { makeFolders } from '../files/index.ts';
import { segment } from './session.ts';

/** In bytes, of each of two files: when one is full it takes the place of the older. */
const SIZE = 1024 * 1024;
/** Of servers that have ended. */
const KEPT = 100;
/** How often it is looked for more, in milliseconds. */
const FOLLOW = 250;
const NAME = /^mcp-build-[a-zA-Z0-9_.-]{1,200}$/;

export interface Log {
  /** Keeps what a server wrote to stderr, secrets taken out. What the disk doesn't take is lost: a log is no reason to end a run. */
  write(bytes: Uint8Array): void;
  close(): Promise<void>;
}

/** The container whose log is the newest of a server's; undefined where none is left. */
export async function newestLog(folder: string, server: string): Promise<string | undefined> {
  const own = new RegExp(`^(mcp-build-${segment(server)}-[0-9a-f]{8})\\.log$`);
  const found = await Promise.all(
    (await readdir(folder).catch(() => [])).map(async (name) => {
      const container = own.exec(name)?.[1];
      const written = container && (await stat(join(folder, name)).catch(() => undefined))?.mtimeMs;
      return container && written ? [{ container, written }] : [];
    }),
  );
  return found.flat().sort((a, b) => b.written - a.written)[0]?.container;
}

/** A log of bounded size for one container, in a folder of this user alone. */
export async function openLog(folder: string, container: string, size = SIZE): Promise<Log> {
  const path = pathOf(folder, container);
  await makeFolders(folder, 0o700);
  await prune(folder);
  let file = await open(path, 'a', 0o600);
  let length = (await file.stat()).size;
  const pending: Buffer[] = [];
  let waiting = 0;
  let flushing: Promise<void> | undefined;
  const append = async (bytes: Buffer) => {
    if (length > 0 && length + bytes.length > size) {
      await file.close();
      await rename(path, `${path}.old`);
      file = await open(path, 'a', 0o600);
      length = 0;
    }
    await file.writeFile(bytes);
    length += bytes.length;
  };
  const flush = async () => {
    for (let next = pending.shift(); next; next = pending.shift()) {
      waiting -= next.length;
      await append(next).catch(() => undefined);
    }
    flushing = undefined;
  };
  return {
    write(bytes) {
      if (bytes.length === 0) return;
      const copy = Buffer.from(bytes.subarray(Math.max(0, bytes.length - size)));
      pending.push(copy);
      waiting += copy.length;
      // Where the disk is slower than the server, the end is worth more than the beginning.
      while (waiting > 2 * size) waiting -= pending.shift()?.length ?? waiting;
      flushing ??= flush();
    },
    async close() {
      await flushing;
      await file.close().catch(() => undefined);
    },
  };
}

/** What a container's log holds, oldest first. @throws McpBuildError `log-missing` */
export async function* readLog(folder: string, container: string): AsyncGenerator<Uint8Array> {
  const path = pathOf(folder, container);
  let found = false;
  for (const part of [`${path}.old`, path]) {
    if (!(await stat(part).catch(() => undefined))) continue;
    found = true;
    yield* createReadStream(part) as AsyncIterable<Buffer>;
  }
  if (!found) throw missing(container);
}

/**
 * The same, and then what is added, until nobody writes to it any more.
 * @param written whether it may still grow. @throws McpBuildError `log-missing`
 */
export async function* followLog(
  folder: string,
  container: string,
  written: () => Promise<boolean>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const path = pathOf(folder, container);
  let file = await openToRead(path);
  if (!file) throw missing(container);
  try {
    const old = await openToRead(`${path}.old`);
    if (old) {
      yield await old.readFile();
      await old.close();
    }
    for (let last = false; ; ) {
      const rest = await file.readFile();
      if (rest.length > 0) yield rest;
      // Full, and put aside: what is written now is in a new file.
      const now = await stat(path).catch(() => undefined);
      if (now && now.ino !== (await file.stat()).ino) {
        const next = await openToRead(path);
        if (next) {
          yield await file.readFile();
          await file.close();
          file = next;
          continue;
        }
      }
      if (last || signal?.aborted) return;
      // Once more after the end: the last lines may come with it.
      last = !(await written());
      if (!last) await sleep(FOLLOW, undefined, signal ? { signal } : {}).catch(() => undefined);
    }
  } finally {
    await file.close();
  }
}

async function openToRead(path: string): Promise<FileHandle | undefined> {
  return open(path, 'r').catch(() => undefined);
}

async function prune(folder: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.log'));
  if (names.length < KEPT) return;
  const dated = await Promise.all(
    names.map(async (name) => ({ name, at: (await stat(join(folder, name)).catch(() => undefined))?.mtimeMs ?? 0 })),
  );
  for (const { name } of dated.sort((a, b) => b.at - a.at).slice(KEPT - 1)) {
    await rm(join(folder, name), { force: true });
    await rm(join(folder, `${name}.old`), { force: true });
  }
}

function pathOf(folder: string, container: string): string {
  if (!NAME.test(container)) throw missing(container);
  return join(folder, `${container}.log`);
}

function missing(container: string): McpBuildError {
  return new McpBuildError({
    code: 'log-missing',
    message: `There is no log of ${container}`,
    input: container,
    fix: 'See which servers run with `mcp-build ps`; logs of the last hundred that ended are kept.',
  });
}
