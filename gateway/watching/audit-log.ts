import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isFault, McpBuildError } from '../../errors/index.ts';
import { makeFolders, withFileLock } from '../../files/index.ts';
import { atTurnsEnd } from '../turn.ts';
import { type Head, headOf, LINE_LIMIT, lineOf, START, type Telling } from './audit-chain.ts';
import { HEAD, headText, parseHead, segmentName, segmentsOf } from './audit-files.ts';

export interface AuditLogOptions {
  readonly folder: string;
  /** A segment that is longer is closed and another begun; in bytes. */
  readonly segmentSize?: number;
  /** Older segments are removed, and the log says so; all are kept where undefined. */
  readonly keepSegments?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

export interface AuditLog {
  readonly folder: string;
  /**
   * Adds a record. `done` is called once it is in the file, where not even `kill -9` of this process takes it away, or with the error why it isn't: then
   * what was to be recorded must not happen, or not be told. @returns the record's number
   */
  append(telling: Telling, done: (error?: McpBuildError) => void): number;
  /** Why the last write failed, while none has succeeded since. */
  trouble(): McpBuildError | undefined;
  head(): Head;
  close(): Promise<void>;
}

const SEGMENT = 64 * 1024 * 1024;
/** What is written at once is seldom longer; in bytes. */
const BATCH = 256 * 1024;

interface Waiting {
  readonly line: string;
  readonly head: Head;
  readonly done: (error?: McpBuildError) => void;
}

/**
 * Opens a log for this process alone. What a crash left half-written at its end was told to nobody; it is cut off, and the log says so.
 * @throws McpBuildError `audit-log-busy`, `audit-log-broken`, `audit-log-unwritable`
 */
export async function openAuditLog(options: AuditLogOptions): Promise<AuditLog> {
  const { folder, segmentSize = SEGMENT, keepSegments, now = Date.now } = options;
  try {
    await makeFolders(folder, 0o700);
    const release = await alone(folder);
    try {
      return await open(release);
    } catch (error) {
      await release();
      throw error;
    }
  } catch (error) {
    throw isFault(error) ? error : unwritable(folder, (error as NodeJS.ErrnoException).code ?? String(error));
  }

  async function open(release: () => Promise<void>): Promise<AuditLog> {
    const segments = await segmentsOf(folder);
    if (segments.length > 0 && !existsSync(join(folder, HEAD))) throw broken(folder);
    let number = segments.at(-1)?.number ?? 1;
    let file = openSync(join(folder, segmentName(number)), 'a+', 0o600);
    const headFile = openSync(join(folder, HEAD), segments.length === 0 ? 'w+' : 'r+', 0o600);
    const known = segments.length === 0 ? START : parseHead(await readFile(join(folder, HEAD), 'utf8'));
    const found = await lastOf(folder, file, segments.at(-2)?.path);
    if (!known || found.head.n < known.n || (found.head.n === known.n && found.head.hash !== known.hash)) {
      throw broken(folder);
    }
    let size = found.size;
    let written = found.head;
    let next = found.head;
    let queue: Waiting[] = [];
    let scheduled = false;
    let trouble: McpBuildError | undefined;
    let closed = false;
    // Made once for all that is written: a call is two records, and both hold it up.
    const headBytes = Buffer.from(headText(0, START.hash));
    const bytes = Buffer.allocUnsafeSlow(BATCH);
    let stamped = Number.NaN;
    let at = '';

    if (found.cut > 0) ftruncateSync(file, size);
    writeHead(written);

    function writeHead(head: Head): void {
      headBytes.write(headText(head.n, head.hash), 'latin1');
      writeAll(headFile, headBytes, headBytes.length, 0);
    }

    function stamp(): string {
      const time = now();
      if (time !== stamped) at = new Date(time).toISOString();
      stamped = time;
      return at;
    }

    function add(telling: Telling, done: Waiting['done']): number {
      const { line, head } = lineOf(stamp(), telling, next);
      if (line.length > LINE_LIMIT) {
        done(unwritable(folder, `a record of ${line.length} characters`));
        return 0;
      }
      next = head;
      queue.push({ line, head, done });
      // All that came in one turn of the event loop is one write.
      if (!scheduled) atTurnsEnd(flush);
      scheduled = true;
      return head.n;
    }

    function flush(): void {
      scheduled = false;
      const batch = queue;
      queue = [];
      const last = batch.at(-1);
      if (!last) return;
      try {
        let text = '';
        for (const { line } of batch) text += line;
        // A character is three bytes at most.
        const fits = text.length * 3 <= bytes.length;
        const whole = fits ? bytes : Buffer.from(text);
        const length = fits ? bytes.write(text) : whole.length;
        writeAll(file, whole, length);
        size += length;
        written = last.head;
        writeHead(written);
        trouble = undefined;
      } catch (cause) {
        // The records after these follow on them, so none of them can stand.
        const failed = [...batch, ...queue];
        queue = [];
        next = written;
        trouble = unwritable(folder, (cause as NodeJS.ErrnoException).code ?? String(cause));
        undo();
        for (const { done } of failed) done(trouble);
        return;
      }
      for (const { done } of batch) done();
      if (size >= segmentSize) rotate();
    }

    function undo(): void {
      try {
        ftruncateSync(file, size);
      } catch {
        // Then half a line stays; the next start cuts it off.
      }
    }

    function rotate(): void {
      const before = file;
      try {
        file = openSync(join(folder, segmentName(number + 1)), 'ax+', 0o600);
      } catch (cause) {
        trouble = unwritable(folder, (cause as NodeJS.ErrnoException).code ?? String(cause));
        return;
      }
      number += 1;
      size = 0;
      try {
        fsyncSync(before);
      } catch {
        // What the kernel has of it stays; only a loss of power could take it.
      }
      closeSync(before);
      if (keepSegments === undefined) return;
      for (let old = number - keepSegments; old > 0; old -= 1) {
        const path = join(folder, segmentName(old));
        const gone = firstOf(path);
        if (gone === undefined) break;
        // First said, then done: a log never lacks its beginning without saying so.
        add({ kind: 'dropped', segment: segmentName(old), from: gone }, (error) => {
          if (!error) rmSync(path, { force: true });
        });
      }
    }

    if (found.cut > 0) add({ kind: 'recovered', bytes: found.cut }, () => undefined);
    return {
      folder,
      append(telling, done) {
        if (!closed) return add(telling, done);
        done(unwritable(folder, 'it is closed'));
        return 0;
      },
      trouble: () => trouble,
      head: () => written,
      async close() {
        closed = true;
        flush();
        try {
          fsyncSync(file);
          fsyncSync(headFile);
        } finally {
          closeSync(file);
          closeSync(headFile);
          await release();
        }
      },
    };
  }
}

function writeAll(file: number, bytes: Buffer, length: number, position?: number): void {
  for (let done = 0; done < length; ) {
    done += writeSync(file, bytes, done, length - done, position === undefined ? null : position + done);
  }
}

/** The last whole record, and what stands half-written behind it. */
async function lastOf(
  folder: string,
  file: number,
  before: string | undefined,
): Promise<{ readonly head: Head; readonly size: number; readonly cut: number }> {
  const total = fstatSync(file).size;
  // Two lines at least, the last of which may be cut off.
  const window = Buffer.alloc(Math.min(total, 3 * LINE_LIMIT));
  readSync(file, window, 0, window.length, total - window.length);
  const end = window.lastIndexOf(10) + 1;
  const cut = window.length - end;
  const line = window.toString('utf8', window.lastIndexOf(10, end - 2) + 1, end - 1);
  if (end > 0) {
    const head = headOf(line);
    if (!head) throw broken(folder);
    return { head, size: total - cut, cut };
  }
  if (before === undefined) return { head: START, size: 0, cut };
  const text = await readFile(before, 'utf8');
  const head = headOf(text.slice(text.lastIndexOf('\n', text.length - 2) + 1, -1));
  if (!head) throw broken(folder);
  return { head, size: 0, cut };
}

/** The number of a segment's first record. */
function firstOf(path: string): number | undefined {
  try {
    const file = openSync(path, 'r');
    try {
      const bytes = Buffer.alloc(LINE_LIMIT);
      const text = bytes.toString('utf8', 0, readSync(file, bytes, 0, bytes.length, 0));
      return headOf(text.slice(0, text.indexOf('\n')))?.n;
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined;
  }
}

/** Holds the folder's lock for as long as this process lives, or until the function that it returns has been called and settled. */
async function alone(folder: string): Promise<() => Promise<void>> {
  const taken = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const hold = () => {
    taken.resolve();
    return held.promise;
  };
  const released = withFileLock(join(folder, 'writer.lock'), hold, 2_000);
  released.catch((cause) =>
    taken.reject(
      isFault(cause, 'busy')
        ? new McpBuildError({
            code: 'audit-log-busy',
            message: `Another gateway writes the audit log in ${folder}`,
            input: folder,
            fix: 'Stop it, or give this one a log of its own with --audit-log.',
            cause,
          })
        : cause,
    ),
  );
  await taken.promise;
  return () => {
    held.resolve();
    return released;
  };
}

function unwritable(folder: string, why: string): McpBuildError {
  return new McpBuildError({
    code: 'audit-log-unwritable',
    message: `The audit log in ${folder} can't be written: ${why}`,
    input: folder,
    fix: 'Make room or correct the rights of the folder; calls are refused until then.',
  });
}

function broken(folder: string): McpBuildError {
  return new McpBuildError({
    code: 'audit-log-broken',
    message: `The audit log in ${folder} does not end as its head says: records were removed or changed`,
    input: folder,
    fix: 'Look at it with `mcp-build audit-log verify`, keep it aside as evidence, and start with an empty folder.',
    exit: 3,
  });
}
