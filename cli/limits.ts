import { InvalidArgumentError, Option } from 'commander';
import { DEFAULT_LIMITS, flagOf, type Limits, type Raised } from '../builders/index.ts';

/** What commander makes of the flags. */
export interface LimitFlags {
  readonly maxFiles?: number;
  readonly maxBytes?: number;
  readonly maxFileBytes?: number;
  readonly maxRatio?: number;
  readonly maxPathBytes?: number;
  readonly maxDepth?: number;
  readonly maxHeaderBytes?: number;
}

const FLAGS: readonly (readonly [keyof Limits, string])[] = [
  ['files', 'members of one archive'],
  ['bytes', 'unpacked bytes of one archive'],
  ['fileBytes', 'unpacked bytes of one file'],
  ['ratio', 'unpacked bytes for each packed one'],
  ['pathBytes', 'bytes of one path'],
  ['depth', 'segments of one path'],
  ['headerBytes', 'bytes of one header'],
];

/** One flag for each limit. Recorded in the lock: who builds from it must allow the same. */
export function limitOptions(): readonly Option[] {
  return FLAGS.map(([limit, what]) =>
    new Option(`${flagOf(limit)} <number>`, `allow more ${what} than ${DEFAULT_LIMITS[limit]}`).argParser(
      (value: string) => {
        const number = Number(value);
        if (Number.isSafeInteger(number) && number > 0 && number <= DEFAULT_LIMITS[limit] * 16) return number;
        throw new InvalidArgumentError(`Give a whole number up to ${DEFAULT_LIMITS[limit] * 16}.`);
      },
    ),
  );
}

/** Undefined where no flag was given: what the lock already allows then stays. */
export function limitsOf(options: LimitFlags): Raised | undefined {
  const given: Record<keyof Limits, number | undefined> = {
    files: options.maxFiles,
    bytes: options.maxBytes,
    fileBytes: options.maxFileBytes,
    ratio: options.maxRatio,
    pathBytes: options.maxPathBytes,
    depth: options.maxDepth,
    headerBytes: options.maxHeaderBytes,
  };
  const found = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return Object.keys(found).length > 0 ? found : undefined;
}
