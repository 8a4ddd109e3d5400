import { parse } from 'smol-toml';
import { z } from 'zod';
import { McpBuildError } from '../../errors/index.ts';

/** One wheel a resolver considered usable. */
export interface LockedWheel {
  readonly file: string;
  readonly url: string;
  readonly size: number | undefined;
  /** Lower-case hex; undefined where the index has none. */
  readonly sha256: string | undefined;
  readonly uploaded: Date | undefined;
}

export interface LockedPackage {
  /** Normalised. */
  readonly name: string;
  readonly version: string;
  readonly wheels: readonly LockedWheel[];
}

const wheel = z.object({
  name: z.string().max(1024).optional(),
  url: z.string().max(8192).optional(),
  path: z.string().optional(),
  size: z.int().nonnegative().optional(),
  'upload-time': z.date().optional(),
  hashes: z.record(z.string(), z.string()).optional(),
});
const packages = z.object({
  name: z.string().regex(/^[a-z0-9]+(?:-[a-z0-9]+)*$/),
  version: z.string().max(200).optional(),
  wheels: z.array(wheel).optional(),
  sdist: z.unknown().optional(),
  vcs: z.unknown().optional(),
  directory: z.unknown().optional(),
  archive: z.unknown().optional(),
});
const pylock = z.object({
  'lock-version': z.string().regex(/^1\.[0-9]+$/),
  packages: z.array(packages).max(10_000).optional(),
});

/**
 * Reads a `pylock.toml` (PEP 751) as uv writes it, sorted by name. @param local the project whose wheel is a file of the user's: it has none here
 * @throws McpBuildError `pylock-invalid`; `exotic-dependency` for what comes from a repository, an archive's URL or a folder
 */
export function parsePylock(text: string, local?: string): readonly LockedPackage[] {
  let value: unknown;
  try {
    value = parse(text);
  } catch (cause) {
    throw invalid('is not TOML', cause);
  }
  const result = pylock.safeParse(value);
  if (!result.success) {
    const issue = result.error.issues[0];
    throw invalid(`at ${issue?.path.join('.') || 'its root'}: ${issue?.message ?? 'does not fit'}`, result.error);
  }
  const found = (result.data.packages ?? []).map((one): LockedPackage => {
    if (one.vcs || one.directory || (one.archive && one.name !== local) || one.version === undefined)
      throw exotic(one.name);
    return {
      name: one.name,
      version: one.version,
      wheels: (one.wheels ?? []).flatMap((file) => wheelOf(one.name, file)),
    };
  });
  const names = new Set(found.map(({ name }) => name));
  if (names.size !== found.length) throw invalid('has a package twice, though it is for one platform');
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function wheelOf(project: string, file: z.infer<typeof wheel>): LockedWheel[] {
  if (file.url === undefined || !/^https?:\/\//.test(file.url)) throw exotic(project);
  const last = new URL(file.url).pathname.split('/').at(-1) ?? '';
  const sha256 = file.hashes?.sha256?.toLowerCase();
  return [
    {
      file: file.name ?? decode(last),
      url: file.url,
      size: file.size,
      sha256: sha256 !== undefined && /^[0-9a-f]{64}$/.test(sha256) ? sha256 : undefined,
      // smol-toml gives local times too; a time without a zone says nothing about age.
      uploaded: file['upload-time'] && isInstant(file['upload-time']) ? new Date(file['upload-time']) : undefined,
    },
  ];
}

function isInstant(date: Date): boolean {
  return !('isLocal' in date && typeof date.isLocal === 'function' && date.isLocal()) && !Number.isNaN(date.getTime());
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function exotic(project: string): McpBuildError {
  return new McpBuildError({
    code: 'exotic-dependency',
    message: `${project} is asked for by a URL, a repository or a folder instead of from an index`,
    input: project,
    fix: 'Only releases on an index are taken: they alone have an age and a hash that others can check. Use another version or server.',
    exit: 4,
  });
}

function invalid(what: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'pylock-invalid',
    message: `What uv resolved ${what}`,
    fix: 'Use another version of uv, or take yours off PATH, so that the pinned one is fetched.',
    ...(cause === undefined ? {} : { cause }),
  });
}
