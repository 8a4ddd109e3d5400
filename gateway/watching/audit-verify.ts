import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { McpBuildError } from '../../errors/index.ts';
import { follow, type Head, headOf, LINE_LIMIT, START } from './audit-chain.ts';
import { HEAD, parseHead, segmentsOf } from './audit-files.ts';

export interface AuditFault {
  /** The segment's name, or `head`. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly message: string;
}

export interface AuditVerified {
  readonly segments: number;
  readonly records: number;
  readonly first: number;
  readonly head: Head;
  readonly faults: readonly AuditFault[];
}

/** Found first, said first; a log that was written over as a whole would else give a fault for each line. */
const FAULTS = 20;

/**
 * Reads a whole log. A chain shows every change within it; that its end wasn't cut off shows the head that is kept beside it, and one that was kept
 * elsewhere shows it even to somebody who could change both.
 * @param anchor what was the head once, from elsewhere
 * @throws McpBuildError `audit-log-missing` where there is neither a segment nor a head: a gateway makes both before it serves, so it is the
 * wrong folder, or somebody took all of it away
 */
export async function verifyAuditLog(folder: string, anchor?: Head): Promise<AuditVerified> {
  const faults: AuditFault[] = [];
  const segments = await segmentsOf(folder);
  const kept = await readFile(join(folder, HEAD), 'utf8').catch(() => undefined);
  if (segments.length === 0 && kept === undefined) {
    throw new McpBuildError({
      code: 'audit-log-missing',
      message: `There is no audit log in ${folder}: no gateway wrote there, or it was removed`,
      input: folder,
      fix: 'Name the folder that `serve` was given with --audit-log; without it the log is in the state folder (MCP_BUILD_HOME) of the user that serves.',
      exit: 3,
    });
  }
  const told = parseHead(kept ?? '');
  let head: Head | undefined;
  let first = 0;
  let records = 0;
  const marks = new Map<number, string>();
  let before: number | undefined;
  for (const { number, path } of segments) {
    const file = basename(path);
    if (before !== undefined && number !== before + 1) {
      faults.push({ file, line: 1, message: `follows on segment ${before}: one is missing` });
    }
    before = number;
    let at = 0;
    for await (const { line, whole } of linesOf(path)) {
      at += 1;
      if (faults.length >= FAULTS) break;
      if (!whole) {
        // The gateway cuts it off when it starts again; nobody was told of it.
        if (number !== segments.at(-1)?.number) faults.push({ file, line: at, message: 'is cut off' });
        continue;
      }
      // What an older segment held is known only from the record that says it was dropped.
      if (head === undefined) head = startOf(line);
      const next = follow(line, head);
      if (typeof next === 'string') {
        faults.push({ file, line: at, message: next });
        // Taken at its word from here on, so that one fault is one fault.
        head = headOf(line) ?? head;
        continue;
      }
      head = next;
      if (records === 0) first = head.n;
      records += 1;
      if (head.n === told?.n || head.n === anchor?.n) marks.set(head.n, head.hash);
    }
  }
  const end = head ?? START;
  if (first > 1 && !(await saysDropped(segments.at(-1)?.path, segments[0]?.path, folder))) {
    faults.push({
      file: basename(segments[0]?.path ?? folder),
      line: 1,
      message: `begins with record ${first}, and nothing says why`,
    });
  }
  if (!told) {
    if (segments.length > 0) faults.push({ file: HEAD, line: 1, message: 'is missing or damaged' });
  } else if (told.n > end.n || (told.n > 0 && marks.get(told.n) !== told.hash)) {
    faults.push({
      file: HEAD,
      line: 1,
      message: `knows of record ${told.n}; the log ends with another ${end.n}: it was cut off`,
    });
  }
  if (anchor && marks.get(anchor.n) !== anchor.hash) {
    faults.push({ file: HEAD, line: 1, message: `record ${anchor.n} is not the one that was named` });
  }
  return { segments: segments.length, records, first, head: end, faults };
}

/** Older segments may be dropped, and then a record says which was. */
async function saysDropped(last: string | undefined, first: string | undefined, folder: string): Promise<boolean> {
  if (!last || !first) return false;
  const number = Number(/(\d{8})/.exec(basename(first))?.[1] ?? 0);
  const wanted = `"kind":"dropped","segment":"audit-${String(number - 1).padStart(8, '0')}.jsonl"`;
  for (const { path } of await segmentsOf(folder)) {
    for await (const { line } of linesOf(path)) if (line.includes(wanted)) return true;
  }
  return false;
}

function startOf(line: string): Head {
  const prev = /,"prev":"([0-9a-f]{64})","hash":/.exec(line)?.[1];
  const n = headOf(line)?.n ?? 1;
  return n === 1 || prev === undefined ? START : { n: n - 1, hash: prev };
}

export async function* linesOf(path: string): AsyncGenerator<{ readonly line: string; readonly whole: boolean }> {
  let rest = '';
  for await (const chunk of createReadStream(path, { encoding: 'utf8', highWaterMark: 256 * 1024 })) {
    const parts = (rest + chunk).split('\n');
    rest = parts.pop() ?? '';
    // Longer than any record: what follows can't be one, either.
    if (rest.length > 4 * LINE_LIMIT) rest = rest.slice(0, LINE_LIMIT);
    for (const line of parts) yield { line, whole: true };
  }
  if (rest !== '') yield { line: rest, whole: false };
}
