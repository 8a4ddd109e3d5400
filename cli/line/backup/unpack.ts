import { createHash } from 'node:crypto';
import { chmod, chown, lchown, lutimes, open, symlink, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createZstdDecompress } from 'node:zlib';
import type { Decrypter } from 'age-encryption';
import { Parser, type ReadEntry } from 'tar';
import { z } from 'zod';
import { makeFolders } from '../../../files/index.ts';
import { CONTENTS, type Contents, type ContentsEntry } from './archive.ts';
import { corrupt } from './place.ts';
import { opened } from './seal.ts';

const contentsSchema = z.strictObject({
  format: z.literal(1),
  part: z.string().min(1).max(4096),
  path: z.string().min(1).max(4096),
  entries: z
    .array(
      z.strictObject({
        path: z.string().max(4096).refine(isInside, 'leads out of the part'),
        type: z.enum(['file', 'folder', 'link']),
        mode: z.int().min(0).max(0o7777),
        uid: z.int().nonnegative(),
        gid: z.int().nonnegative(),
        mtime: z.number(),
        size: z.int().nonnegative().optional(),
        sha256: z
          .string()
          .regex(/^[0-9a-f]{64}$/)
          .optional(),
        target: z.string().max(4096).optional(),
      }),
    )
    .max(1_000_001),
});

/** In bytes: a million entries of some hundred bytes each. */
const CONTENTS_LIMIT = 512 * 1024 * 1024;

/** In bytes: what the decompressor gives at a time. Node's own 16 KiB are a trip to its threads each. */
const OUTPUT = 256 * 1024;

export interface Source {
  /** What errors call it. */
  readonly file: string;
  readonly digest: `sha256:${string}`;
  readonly size: number;
}

/**
 * Reads an archive to its end, checks it against its digest and its own list, and writes what it holds below `into` where one is given.
 * Whoever sees this return has seen every byte checked; after a throw `into` is to be thrown away.
 * @throws McpBuildError `backup-corrupt`
 */
export async function unpack(source: Source, decrypter: Decrypter, into?: string): Promise<Contents> {
  const found = new Map<string, ContentsEntry>();
  let contents: Buffer | undefined;
  let work: Promise<void> = Promise.resolve();
  let fault: unknown;
  const parser = new Parser({ strict: true });
  parser.on('entry', (entry: ReadEntry) => {
    // In order: the parser gives out the next one when this one has been read.
    work = work
      .then(async () => {
        const path = entry.path === '.' || entry.path === './' ? '' : entry.path.replace(/\/$/, '');
        if (contents) throw corrupt(source.file, 'goes on behind its list of contents');
        if (path === CONTENTS) contents = await bytesOf(entry, source.file);
        else found.set(path, await place(entry, path, source.file, into));
      })
      .catch((error) => {
        fault ??= error;
        entry.resume();
      });
  });
  parser.on('error', (error: Error) => {
    fault ??= error;
  });
  try {
    for await (const chunk of plain(source, decrypter)) {
      if (!parser.write(chunk) && !fault) await drained(parser);
      if (fault) throw fault;
    }
    const ended = new Promise<void>((resolve) => parser.once('end', () => resolve()));
    parser.end();
    await ended;
    await work;
    if (fault) throw fault;
  } catch (error) {
    throw (error as { code?: string }).code === 'backup-corrupt'
      ? error
      : corrupt(source.file, `can't be read: ${(error as Error).message}`);
  }
  if (!contents) throw corrupt(source.file, 'has no list of contents');
  const listed = parseContents(contents, source.file);
  compare(listed, found, source.file);
  if (into) await finish(listed, into);
  return listed;
}

async function* plain(source: Source, decrypter: Decrypter): AsyncGenerator<Uint8Array> {
  const sealed = hashed(source);
  try {
    const unzipped = createZstdDecompress({ chunkSize: OUTPUT });
    const fed = pipeline(opened(decrypter, sealed), unzipped);
    // A reader that stops early, or a fault in what is fed, is met at the await below or in the reader.
    fed.catch(() => undefined);
    yield* unzipped;
    await fed;
  } finally {
    // A decrypter that gives up at the header leaves what it was given half read, with its file open.
    await sealed.return(undefined);
  }
}

async function* hashed({ file, digest, size }: Source): AsyncGenerator<Uint8Array> {
  const handle = await open(file, 'r').catch((error: NodeJS.ErrnoException) => {
    throw corrupt(file, error.code === 'ENOENT' ? 'is missing' : `can't be read: ${error.code}`);
  });
  const hash = createHash('sha256');
  let seen = 0;
  try {
    for await (const chunk of handle.createReadStream({ autoClose: false, highWaterMark: 256 * 1024 })) {
      seen += chunk.length;
      if (seen > size) throw corrupt(file, `is longer than ${size} bytes`);
      hash.update(chunk);
      yield chunk;
    }
  } finally {
    await handle.close();
  }
  if (seen !== size) throw corrupt(file, `has ${seen} bytes instead of ${size}`);
  const found = `sha256:${hash.digest('hex')}`;
  if (found !== digest) throw corrupt(file, `has ${found} instead of ${digest}`);
}

/** Without decrypting anything. @throws McpBuildError `backup-corrupt` */
export async function checkSealed(source: Source): Promise<void> {
  for await (const _ of hashed(source));
}

async function place(entry: ReadEntry, path: string, file: string, into: string | undefined): Promise<ContentsEntry> {
  if (!isInside(path)) throw corrupt(file, `holds "${path}", which leads out of it`);
  const common = {
    path,
    mode: (entry.mode ?? 0) & 0o7777,
    uid: entry.uid ?? 0,
    gid: entry.gid ?? 0,
    mtime: 0,
  };
  const to = into === undefined ? undefined : join(into, path);
  if (entry.type === 'Directory') {
    entry.resume();
    if (to) await makeFolders(to, 0o700);
    return { ...common, type: 'folder' };
  }
  if (entry.type === 'SymbolicLink') {
    entry.resume();
    return { ...common, type: 'link', target: entry.linkpath ?? '' };
  }
  if (entry.type !== 'File') throw corrupt(file, `holds "${path}", which is neither a file nor a folder nor a link`);
  const hash = createHash('sha256');
  let size = 0;
  if (to && path !== '') await makeFolders(dirname(to), 0o700);
  const output = to ? await open(to, 'wx', 0o600) : undefined;
  try {
    for await (const chunk of entry as AsyncIterable<Buffer>) {
      hash.update(chunk);
      size += chunk.length;
      if (output) await output.writeFile(chunk);
    }
    await output?.sync();
  } finally {
    await output?.close();
  }
  return { ...common, type: 'file', size, sha256: hash.digest('hex') };
}

async function bytesOf(entry: ReadEntry, file: string): Promise<Buffer> {
  if ((entry.size ?? 0) > CONTENTS_LIMIT) throw corrupt(file, 'has too long a list of contents');
  const chunks: Buffer[] = [];
  for await (const chunk of entry as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function parseContents(bytes: Buffer, file: string): Contents {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw corrupt(file, 'has a list of contents that is not JSON');
  }
  const parsed = contentsSchema.safeParse(value);
  if (!parsed.success) throw corrupt(file, `has an invalid list of contents: ${z.prettifyError(parsed.error)}`);
  return {
    ...parsed.data,
    entries: parsed.data.entries.map(({ size, sha256, target, ...entry }) => ({
      ...entry,
      ...(size === undefined ? {} : { size }),
      ...(sha256 === undefined ? {} : { sha256 }),
      ...(target === undefined ? {} : { target }),
    })),
  };
}

function compare(listed: Contents, found: ReadonlyMap<string, ContentsEntry>, file: string): void {
  for (const entry of listed.entries) {
    const there = found.get(entry.path);
    const same =
      there !== undefined &&
      there.type === entry.type &&
      there.size === entry.size &&
      there.sha256 === entry.sha256 &&
      there.target === entry.target &&
      there.mode === entry.mode;
    if (!same) throw corrupt(file, `holds "${entry.path}" otherwise than its list of contents says`);
  }
  if (listed.entries.length !== found.size) throw corrupt(file, 'holds more than its list of contents says');
}

/** Links come last, so that nothing is ever written through one; rights and times from the innermost outwards. */
async function finish(contents: Contents, into: string): Promise<void> {
  const owner = process.getuid?.() === 0;
  for (const entry of [...contents.entries].reverse()) {
    const path = join(into, entry.path);
    const time = entry.mtime / 1000;
    if (entry.type === 'link') {
      await symlink(entry.target ?? '', path);
      if (owner) await lchown(path, entry.uid, entry.gid);
      await lutimes(path, time, time);
      continue;
    }
    // Before the mode, which a change of owner would take set-id bits from.
    if (owner) await chown(path, entry.uid, entry.gid);
    await chmod(path, entry.mode);
    await utimes(path, time, time);
  }
}

function isInside(path: string): boolean {
  if (path === '') return true;
  return (
    !path.startsWith('/') && !path.includes('\0') && path.split('/').every((name) => !['', '.', '..'].includes(name))
  );
}

/** A parser that failed never drains; both listeners go with either event. */
function drained(parser: Parser): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      parser.off('drain', done);
      parser.off('error', done);
      resolve();
    };
    parser.on('drain', done);
    parser.on('error', done);
  });
}
