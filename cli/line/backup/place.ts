import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isDigest } from '../../../digest/index.ts';
import { isFault, McpBuildError } from '../../../errors/index.ts';
import { readBounded } from '../../../files/index.ts';

/**
 * A folder of backups. `snapshots/` holds, for each, a list in plain that allows checking and retention without the identity, and the
 * same list encrypted, which alone is believed by a restore. `archives/` holds what they list, `images/` an OCI layout that all share.
 */
export interface Place {
  readonly root: string;
  readonly snapshots: string;
  readonly archives: string;
  readonly images: string;
  readonly lock: string;
  /** Only where a passphrase protects the backups: the identity, encrypted with it. */
  readonly identity: string;
}

export function placeOf(root: string): Place {
  return {
    root,
    snapshots: join(root, 'snapshots'),
    archives: join(root, 'archives'),
    images: join(root, 'images'),
    lock: join(root, '.lock'),
    identity: join(root, 'identity.age'),
  };
}

const digest = z.custom<`sha256:${string}`>((value) => typeof value === 'string' && isDigest(value), 'not a digest');

const archiveSchema = z.strictObject({
  /** What is in it: `state`, `config`, `workspace`, or the path of a folder or file that was named. */
  part: z.string().min(1).max(4096),
  /** Where it was; absolute. */
  path: z.string().startsWith('/').max(4096),
  file: z.string().regex(/^[0-9a-f]{64}\.tar\.zst\.age$/),
  /** Of the encrypted file. */
  digest,
  size: z.int().nonnegative(),
});

const snapshotSchema = z.strictObject({
  format: z.literal(1),
  id: z.string().regex(/^\d{8}T\d{6}Z-[0-9a-f]{8}$/),
  created: z.iso.datetime(),
  program: z.string().max(100),
  recipients: z.array(z.string().max(4096)).min(1).max(32),
  archives: z.array(archiveSchema).max(1_000),
  images: z
    .array(
      z.strictObject({
        tag: z.string().max(300),
        mediaType: z.string().max(200),
        digest,
        size: z.int().nonnegative(),
      }),
    )
    .max(100_000),
});

export type Archive = z.infer<typeof archiveSchema>;
export type Snapshot = z.infer<typeof snapshotSchema>;

/** In bytes, of one list. */
const LIST_LIMIT = 64 * 1024 * 1024;

/** Sorts as text in the order of time: behind the second come its milliseconds, which a script may need, and a random end. */
export function snapshotId(now: Date): string {
  const milliseconds = now.getUTCMilliseconds().toString(16).padStart(3, '0');
  const second = now.toISOString().replace(/\.\d+/, '').replace(/[-:]/g, '');
  return `${second}-${milliseconds}${randomBytes(4).toString('hex').slice(0, 5)}`;
}

export function listFile(place: Place, id: string): string {
  return join(place.snapshots, `${id}.json`);
}

export function sealedFile(place: Place, id: string): string {
  return join(place.snapshots, `${id}.json.age`);
}

/** The tag under which a snapshot keeps an image in the shared layout. */
export function imageTag(id: string, tag: string): string {
  return `${id}/${tag}`;
}

/** Oldest first. @throws McpBuildError `backup-missing` */
export async function snapshotIds(place: Place): Promise<readonly string[]> {
  const names = await readdir(place.snapshots).catch(() => undefined);
  const ids = (names ?? []).flatMap((name) => /^(\d{8}T\d{6}Z-[0-9a-f]{8})\.json$/.exec(name)?.[1] ?? []).sort();
  if (names === undefined || ids.length === 0) {
    throw new McpBuildError({
      code: 'backup-missing',
      message: `${place.root} holds no backup`,
      input: place.root,
      fix: 'Name the folder that was given to `mcp-build backup --to`.',
    });
  }
  return ids;
}

/** @throws McpBuildError `backup-missing`, `backup-corrupt` */
export async function readList(place: Place, id: string): Promise<Snapshot> {
  const file = listFile(place, id);
  try {
    return parseList(await readBounded(file, LIST_LIMIT), file, id);
  } catch (error) {
    if (isFault(error)) throw error;
    throw new McpBuildError({
      code: 'backup-missing',
      message: `There is no backup ${id} in ${place.root}`,
      input: id,
      fix: 'List those that are there with `mcp-build backup list`.',
      cause: error,
    });
  }
}

/** @throws McpBuildError `backup-corrupt` */
export function parseList(bytes: Uint8Array, file: string, id: string): Snapshot {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    throw corrupt(file, 'is not JSON');
  }
  const parsed = snapshotSchema.safeParse(value);
  if (!parsed.success) throw corrupt(file, `is not a list of a backup: ${z.prettifyError(parsed.error)}`);
  if (parsed.data.id !== id) throw corrupt(file, `is the list of ${parsed.data.id}`);
  return parsed.data;
}

export function corrupt(file: string, reason: string): McpBuildError {
  return new McpBuildError({
    code: 'backup-corrupt',
    message: `${file} ${reason}`,
    input: file,
    fix: 'Nothing was changed. Restore an older backup, or take this file from another copy of the backup.',
    exit: 3,
  });
}
