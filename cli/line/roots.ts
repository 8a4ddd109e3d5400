import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type Digest, isDigest, sha256 } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { readBounded, withFileLock, withTemporaryFolder, writeAtomic } from '../../files/index.ts';
import {
  type FindRoot,
  followRoot,
  PUBLIC_GOOD,
  parseTrustedRoot,
  publicGoodRepository,
  type TufMetadata,
} from '../../trust/index.ts';
import type { Home } from './home.ts';

/** In bytes: four documents of at most one megabyte, as JSON strings. */
const LIMIT = 16 * 1024 * 1024;
const ROOT_LIMIT = 512_000;
const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;

// One file, so that what is trusted and what it was verified with are never of two times.
const followedSchema = z.strictObject({
  mirror: z.url(),
  /** Of the root metadata that the user named. */
  began: z.string().refine(isDigest),
  updated: z.iso.datetime(),
  metadata: z.strictObject({
    root: z.string(),
    timestamp: z.string().optional(),
    snapshot: z.string().optional(),
    targets: z.string().optional(),
  }),
  trustedRoot: z.string(),
});
type FollowedRoot = z.infer<typeof followedSchema>;

/** A trusted root that was followed, without its documents. */
export interface RootInfo {
  readonly name: string;
  readonly mirror: string;
  readonly updated: string;
  /** Of the `trusted_root.json`. */
  readonly digest: Digest;
  /** Of the repository's root metadata. */
  readonly version: number;
}

export interface UpdateRootOptions {
  readonly mirror?: string;
  /** File of the root metadata to begin with; the pinned one for `public-good`. */
  readonly root?: string;
  readonly now: Date;
}

/**
 * Follows a TUF repository to today's trusted root and keeps that; what was kept before stays until the new one is verified whole.
 * @throws McpBuildError `root-unknown`, `root-differs`, `root-damaged`, `address-invalid`, `file-unreadable`, and what `followRoot` throws
 */
export async function updateRoot(
  home: Home,
  name: string,
  options: UpdateRootOptions,
): Promise<RootInfo & { readonly changed: boolean }> {
  const path = pathOf(home, name);
  return withFileLock(`${path}.lock`, async () => {
    const kept = await read(path);
    const { mirror, began, known } = await beginning(name, kept, options);
    const followed = await withTemporaryFolder(folderOf(home), (folder) => followRoot({ mirror, known, folder }));
    const next: FollowedRoot = {
      mirror: mirror.href,
      began,
      updated: options.now.toISOString(),
      metadata: followed.metadata,
      trustedRoot: followed.trustedRoot,
    };
    await writeAtomic(path, `${JSON.stringify(next)}\n`, 0o600);
    return { ...infoOf(name, next), changed: kept?.trustedRoot !== next.trustedRoot };
  });
}

/** What this user followed under a name, for the policies that name it. It is read from disk: no network decides while something is verified. */
export function followedRoots(home: Home): FindRoot {
  return async (name) => {
    if (!NAME.test(name)) return undefined;
    const kept = await read(pathOf(home, name));
    // Named with its digest: what is remembered by a root's name must not outlive a change of it.
    return kept && parseTrustedRoot(kept.trustedRoot, `${name}@${sha256(kept.trustedRoot).slice(7, 19)}`);
  };
}

export async function listRoots(home: Home): Promise<readonly RootInfo[]> {
  const files = await readdir(folderOf(home)).catch(() => []);
  const names = files.filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -5));
  const found = await Promise.all(
    names.sort().map(async (name) => {
      const kept = await read(pathOf(home, name));
      return kept ? [infoOf(name, kept)] : [];
    }),
  );
  return found.flat();
}

/** @returns whether there was one */
export async function forgetRoot(home: Home, name: string): Promise<boolean> {
  const path = pathOf(home, name);
  return withFileLock(`${path}.lock`, async () => {
    // Also a damaged one: this is how to get rid of it.
    const found = await readBounded(path, LIMIT).then(
      () => true,
      (error: NodeJS.ErrnoException) => error.code !== 'ENOENT',
    );
    await rm(path, { force: true });
    return found;
  });
}

interface Beginning {
  readonly mirror: URL;
  readonly began: Digest;
  readonly known: TufMetadata;
}

async function beginning(name: string, kept: FollowedRoot | undefined, options: UpdateRootOptions): Promise<Beginning> {
  const { mirror: address = kept?.mirror, root: file } = options;
  if (name === PUBLIC_GOOD) {
    if (file !== undefined) {
      throw fault('root-differs', `${PUBLIC_GOOD} is followed from the root that mcp-build ships`, file, OWN_NAME);
    }
    const pinned = publicGoodRepository();
    return {
      mirror: address === undefined ? pinned.mirror : addressOf(address),
      began: sha256(pinned.root),
      known: kept?.metadata ?? { root: pinned.root },
    };
  }
  if (file === undefined) {
    if (kept && address !== undefined) return { mirror: addressOf(address), began: kept.began, known: kept.metadata };
    throw fault('root-unknown', `Nothing is followed as ${name} yet`, name, 'Name its --mirror and its first --root.');
  }
  const text = await readBounded(file, ROOT_LIMIT).catch((cause) => {
    throw fault('file-unreadable', `${file} can't be read: ${cause.message}`, file, 'Check the path.');
  });
  const began = sha256(text);
  if (address === undefined) throw fault('root-unknown', `${name} has no mirror`, name, 'Name it with --mirror.');
  // Beginning anew would forget what must not be rolled back: nobody does that unawares.
  if (kept && kept.began !== began) {
    throw fault(
      'root-differs',
      `${name} is followed from another root than ${file}`,
      file,
      `If it was replaced for a reason that you know, forget the old one: mcp-build trust update --remove ${name}.`,
    );
  }
  return { mirror: addressOf(address), began, known: kept?.metadata ?? { root: text.toString('utf8') } };
}

const OWN_NAME = 'Follow another repository under a name of its own.';

/** Contents are signed, so a plain address is no risk to them; it lets anyone on the way freeze the repository, so it is for loopback. */
function addressOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const loopback = url !== undefined && /^(?:localhost|127\.[\d.]+|\[::1\])$/.test(url.hostname);
  const plain = url?.username === '' && url.password === '' && url.search === '' && url.hash === '';
  if (url && plain && (url.protocol === 'https:' || (url.protocol === 'http:' && loopback))) return url;
  throw fault('address-invalid', `"${text}" is no address to follow`, text, 'Write https://…, without credentials.');
}

async function read(path: string): Promise<FollowedRoot | undefined> {
  const bytes = await readBounded(path, LIMIT).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (!bytes) return undefined;
  try {
    return followedSchema.parse(JSON.parse(bytes.toString('utf8')));
  } catch {
    // Not taken for absent: the pinned root would come back, and with it whatever was revoked since.
    throw fault(
      'root-damaged',
      `The trusted root in ${path} is damaged`,
      path,
      'Look at why; then forget it with `mcp-build trust update --remove NAME` and follow it again.',
      3,
    );
  }
}

const rootVersion = z.looseObject({ signed: z.looseObject({ version: z.int() }) });

function infoOf(name: string, { mirror, updated, trustedRoot, metadata }: FollowedRoot): RootInfo {
  const { version } = rootVersion.parse(JSON.parse(metadata.root)).signed;
  return { name, mirror, updated, digest: sha256(trustedRoot), version };
}

function folderOf(home: Home): string {
  return join(home.root, 'roots');
}

function pathOf(home: Home, name: string): string {
  if (NAME.test(name)) return join(folderOf(home), `${name}.json`);
  throw fault('name-invalid', `"${name}" is no name for a trusted root`, name, 'Use a-z, 0-9 and hyphens.');
}

function fault(code: string, message: string, input: string, fix: string, exit: 2 | 3 = 2): McpBuildError {
  return new McpBuildError({ code, message, input, fix, exit });
}
