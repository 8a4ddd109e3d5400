import { AsyncLocalStorage } from 'node:async_hooks';
import { McpBuildError } from '../../errors/index.ts';

/** What one archive may hold. Everything is counted while it is read: what the archive says of itself only makes it fail sooner. */
export interface Limits {
  /** Members, and the folders that their paths need. */
  readonly files: number;
  /** Unpacked bytes of the whole archive, headers and padding included. */
  readonly bytes: number;
  /** Unpacked bytes of one member. */
  readonly fileBytes: number;
  /** Unpacked bytes for each packed one, looked at once more than `RATIO_FLOOR` bytes are unpacked. */
  readonly ratio: number;
  /** Bytes of one path or link target. */
  readonly pathBytes: number;
  /** Segments of one path. */
  readonly depth: number;
  /** Bytes of one PAX header, GNU long name, zip comment or extra field. */
  readonly headerBytes: number;
}

/** Each is several times what the largest packages in use need; docs/limits.md has the table and the reasons. */
export const DEFAULT_LIMITS: Limits = {
  files: 200_000,
  bytes: 4 * 1024 ** 3,
  fileBytes: 2 * 1024 ** 3,
  ratio: 200,
  pathBytes: 512,
  depth: 64,
  headerBytes: 64 * 1024,
};

/** The environment variable that raises limits. */
export const LIMITS_VARIABLE = 'MCP_BUILD_ARCHIVE_LIMITS';

/** A small archive of zeros or of one long JSON document is no bomb: 64 MiB do no harm, whatever they were packed into. */
export const RATIO_FLOOR = 64 * 1024 ** 2;

/** Who reads, and how much of it: what every reader takes besides the bytes. */
export interface ReadOptions {
  /** What the archive is called in an error, as its index names it. */
  readonly name: string;
  readonly limits?: Partial<Limits> | undefined;
}

/** An archive with its limits filled in, to be passed on between readers. */
export interface Subject {
  readonly name: string;
  readonly limits: Limits;
}

export function subjectOf(options: ReadOptions): Subject {
  return { name: options.name, limits: { ...inForce, ...raised.getStore(), ...options.limits } };
}

let inForce: Limits = DEFAULT_LIMITS;
const raised = new AsyncLocalStorage<Partial<Limits>>();

/** Runs `work` with the limits of one lock, beside whatever else this process reads at the moment. Undefined leaves them as they are. */
export function withLimits<T>(limits: Raised | undefined, work: () => Promise<T>): Promise<T> {
  if (!limits) return work();
  const set = Object.entries(limits).filter(([, value]) => value !== undefined);
  return raised.run(Object.fromEntries(set), work);
}

/** Limits as a lock has them. */
export type Raised = { readonly [Limit in keyof Limits]?: number | undefined };

/**
 * Changes the limits of every archive this process reads from now on. For whoever starts the process only: how much a machine is to bear
 * belongs to it and not to a call, and an image that was built beyond the defaults must be rebuilt by the next command too.
 */
export function useLimits(limits: Partial<Limits>): void {
  inForce = { ...DEFAULT_LIMITS, ...limits };
}

/**
 * Reads `files=200000,bytes=8589934592` as a person writes it in `MCP_BUILD_ARCHIVE_LIMITS`; nothing for an empty text.
 * @throws McpBuildError `limit-invalid`
 */
export function parseArchiveLimits(text: string): Partial<Limits> {
  const found: Partial<Record<keyof Limits, number>> = {};
  for (const part of text.split(',').filter((word) => word.trim() !== '')) {
    const match = /^ *([A-Za-z]+)=([1-9][0-9]{0,14}) *$/.exec(part);
    const key = match?.[1];
    if (key === undefined || !Object.hasOwn(DEFAULT_LIMITS, key)) {
      throw new McpBuildError({
        code: 'limit-invalid',
        message: `"${part}" in ${LIMITS_VARIABLE} is not a limit for archives`,
        input: part,
        fix: `Write <limit>=<number>, separated by commas, with any of ${Object.keys(DEFAULT_LIMITS).join(', ')}.`,
        exit: 2,
      });
    }
    found[key as keyof Limits] = Number(match?.[2]);
  }
  return found;
}

/** The archive is made to harm or to be read in two ways. `member` may hold anything: it is made printable here. */
export function unsafe(subject: Subject, reason: string, member?: string): McpBuildError {
  return new McpBuildError({
    code: 'archive-unsafe',
    message: `${subject.name}${member === undefined ? '' : `: ${printable(member)}`} ${reason}`,
    input: subject.name,
    fix: 'Nothing was taken from it. Look at how the package was made before you use any version of it; its authors may not know.',
  });
}

/** The archive is more than a limit allows, which a person who knows the package may raise. */
export function beyond(subject: Subject, limit: keyof Limits, found: number, member?: string): McpBuildError {
  return new McpBuildError({
    code: 'archive-unsafe',
    message: `${subject.name}${member === undefined ? '' : `: ${printable(member)}`} is over the limit "${limit}": ${found}, more than ${subject.limits[limit]}`,
    input: subject.name,
    fix: `If the package is known to be that large, lock with ${flagOf(limit)} ${roundUp(found)}; ${LIMITS_VARIABLE}=${limit}=${roundUp(found)} raises it for this machine.`,
  });
}

/** The flag of `lock` that raises a limit. */
export function flagOf(limit: keyof Limits): string {
  return `--max-${limit.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Two digits are kept: what is found first is seldom all there is. */
function roundUp(count: number): number {
  const step = 10 ** Math.max(0, String(count).length - 2);
  return (Math.floor(count / step) + 1) * step;
}

/** The archive is broken or cut off: what a bad download looks like. */
export function invalid(subject: Subject, reason: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'archive-invalid',
    message: `${subject.name} ${reason}`,
    input: subject.name,
    fix: 'Fetch it again; if that gives the same, the package was published broken: take another version.',
    ...(cause === undefined ? {} : { cause }),
  });
}

/** A name from an archive in an error: quoted, one line, no terminal escapes or bidirectional overrides, not endless. */
export function printable(name: string): string {
  const short = name.length > 200 ? `${name.slice(0, 200)}…` : name;
  return `"${short.replace(/["\\]|[^\P{C}]|[\u2028\u2029]/gu, (c) => (c === '"' || c === '\\' ? `\\${c}` : `\\u{${c.codePointAt(0)?.toString(16)}}`))}"`;
}

/** Counts what came in and what was unpacked from it, over a whole archive. */
export class Meter {
  #packed = 0;
  #unpacked = 0;
  readonly #subject: Subject;

  constructor(subject: Subject) {
    this.#subject = subject;
  }

  packed(bytes: number): void {
    this.#packed += bytes;
  }

  /** @throws McpBuildError `archive-unsafe` */
  unpacked(bytes: number): void {
    this.#unpacked += bytes;
    const { limits } = this.#subject;
    if (this.#unpacked > limits.bytes) throw beyond(this.#subject, 'bytes', this.#unpacked);
    if (this.#unpacked > RATIO_FLOOR && this.#unpacked > this.#packed * limits.ratio) {
      throw beyond(this.#subject, 'ratio', Math.ceil(this.#unpacked / Math.max(1, this.#packed)));
    }
  }
}
