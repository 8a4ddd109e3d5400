import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Artifact,
  artifactCache,
  formatSource,
  type Launch,
  LOCAL_INDEX,
  type LocalFile,
  type Lock,
  looksLikeFile,
  looksLikeServerJson,
  parseSource,
  readLocalFile,
  readServerJson,
  SERVER_JSON_LIMIT,
  type Source,
} from '../../builders/index.ts';
import { type Digest, hexOf, sha256 } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { readBounded } from '../../files/index.ts';
import { fetchArtifact } from './adapters.ts';
import type { Environment, Home } from './home.ts';
import type { Locked } from './lock.ts';

/** What a word of the command line asks for: a package, and how it is started where a `server.json` says so. */
export interface Wanted {
  readonly source: Source;
  readonly launch?: Launch;
  /** The package's file, where that is what was named. */
  readonly local?: LocalFile;
  /** What the server's own file must hash to, in hex. */
  readonly fileSha256?: string;
}

export interface WantedOptions {
  readonly home: Home;
  readonly environment: Environment;
  readonly workspace?: string | undefined;
  /** Which package of a `server.json`: `npm`, `pypi` or one's identifier. */
  readonly package?: string | undefined;
}

/** @throws McpBuildError `source-invalid`, `server-json-unreadable`, and those of `readServerJson` */
export async function wantedSource(text: string, options: WantedOptions): Promise<Wanted> {
  if (looksLikeServerJson(text)) {
    return readServerJson(await readDocument(text, options), shown(text), options.package);
  }
  if (options.package === undefined) return looksLikeFile(text) ? localFile(text) : { source: parseSource(text) };
  throw new McpBuildError({
    code: 'option-conflict',
    message: '--package chooses among the packages of a server.json',
    input: text,
    fix: 'Leave it out: the source names its package.',
    exit: 2,
  });
}

/** The path of a local file, as far as a word of the command line is one: where the build from its lock finds it. */
export function localPlaces(text: string): readonly string[] {
  return looksLikeFile(text) ? [pathOf(text)] : [];
}

/** `file:x.tgz`, as npm has it, and `file:///x.tgz`. @throws McpBuildError `source-invalid` */
function pathOf(text: string): string {
  if (!text.startsWith('file:')) return resolve(text);
  if (!text.startsWith('file://')) return resolve(text.slice('file:'.length));
  try {
    return fileURLToPath(text);
  } catch (cause) {
    throw new McpBuildError({
      code: 'source-invalid',
      message: `${text} is not the address of a file`,
      input: text,
      fix: 'Write file:PATH, or just the path.',
      exit: 2,
      cause,
    });
  }
}

/** @throws McpBuildError `source-invalid`, `file-unreadable`, `package-invalid`, `wheel-invalid` */
export async function localFile(text: string): Promise<Wanted> {
  const path = pathOf(text);
  if (path.endsWith('.whl')) return (await import('../../builders/pypi/index.ts')).localWheel(path);
  if (/\.(?:tgz|tar\.gz)$/.test(path)) return (await import('../../builders/npm/index.ts')).localTarball(path);
  throw new McpBuildError({
    code: 'source-invalid',
    message: `${text} is neither an npm tarball (.tgz) nor a wheel (.whl)`,
    input: text,
    fix: 'Make one with `npm pack`, or `python -m build --wheel` or `uv build --wheel`.',
    exit: 2,
  });
}

/** Keeps the bytes of a local file by their hash: a build on this machine needs the path no more. */
export async function keepLocal(
  { lock }: Pick<Locked, 'lock'>,
  files: readonly string[],
  { home, environment, workspace }: WantedOptions,
): Promise<void> {
  const own = localArtifacts(lock);
  if (own.length === 0) return;
  const options = { cache: home.cache, environment, workspace, files };
  await artifactCache(join(home.cache, 'artifacts'), (artifact) => fetchArtifact(artifact, options)).fill(own);
}

/** The files of a lock that no index has. */
export function localArtifacts({ platforms }: Lock): readonly Artifact[] {
  return Object.values(platforms)
    .flatMap(({ layers }) => layers.flatMap((layer) => layer.files))
    .filter(({ index }) => index === LOCAL_INDEX);
}

/**
 * Names the lock of a document: a file by what it says, an address whatever it says today, so that what was locked stays until it is
 * updated, and nobody is asked.
 */
export async function documentKey(text: string, options: WantedOptions): Promise<Digest> {
  if (looksLikeFile(text)) return sha256((await readLocalFile(pathOf(text), 'sha256')).integrity);
  return sha256(isAddress(text) ? text : await readDocument(text, options));
}

/** Holds what was resolved against what the `server.json` says of it. @throws McpBuildError `manifest-mismatch`, `integrity` */
export async function checkWanted(
  { launch, fileSha256 }: Omit<Wanted, 'source'>,
  { lock }: Pick<Locked, 'lock'>,
  { home, environment, workspace }: WantedOptions,
): Promise<void> {
  const claimed = lock.serverName;
  if (launch && claimed !== undefined && claimed !== launch.document.name) {
    throw new McpBuildError({
      code: 'manifest-mismatch',
      message: `${formatSource(lock.source)} says it is ${claimed}, not ${launch.document.name}`,
      input: launch.document.name,
      fix: 'Whoever wrote that server.json did not write this package: find out which one you want.',
      exit: 4,
    });
  }
  if (fileSha256 === undefined) return;
  const cache = artifactCache(join(home.cache, 'artifacts'), (artifact) =>
    fetchArtifact(artifact, { cache: home.cache, environment, workspace }),
  );
  for (const { layers } of Object.values(lock.platforms)) {
    for (const file of layers.find(({ name }) => name === 'server')?.files ?? []) {
      const parts: Uint8Array[] = [];
      for await (const part of cache.open(file)) parts.push(Buffer.from(part));
      const found = hexOf(sha256(Buffer.concat(parts)));
      if (found === fileSha256) continue;
      throw new McpBuildError({
        code: 'integrity',
        message: `${file.file} has the SHA-256 ${found}, and its server.json says ${fileSha256}`,
        input: file.file,
        fix: 'Take neither before you know which of the two is right.',
      });
    }
  }
}

async function readDocument(text: string, { home, environment, workspace }: WantedOptions): Promise<Uint8Array> {
  if (isAddress(text)) {
    const { fetchDocument } = await import('../../builders/npm/index.ts');
    return fetchDocument(text, SERVER_JSON_LIMIT, { cache: home.cache, environment, workspace });
  }
  return readBounded(resolve(text), SERVER_JSON_LIMIT).catch((cause: NodeJS.ErrnoException) => {
    throw new McpBuildError({
      code: 'server-json-unreadable',
      message: `${text} can't be read: ${cause.code ?? cause.message}`,
      input: text,
      fix: 'Give the path or the address of a server.json.',
      exit: 2,
      cause,
    });
  });
}

function isAddress(text: string): boolean {
  return /^https?:\/\//i.test(text);
}

/** Without credentials or a query, which may be one. */
function shown(text: string): string {
  if (!isAddress(text) || !URL.canParse(text)) return text;
  const { origin, pathname } = new URL(text);
  return `${origin}${pathname}`;
}
