import { type ArMember, readAr } from './ar.ts';
import { Feed } from './feed.ts';
import { corrupt, gunzip } from './gunzip.ts';
import { unzstdStream } from './inflate.ts';
import { beyond, invalid, Meter, type ReadOptions, type Subject, subjectOf, unsafe } from './limits.ts';
import type { Member } from './member.ts';
import { readTar } from './tar.ts';
import { unxz } from './xz.ts';

/** Ceiling for all control files of one package that are kept, in bytes. The largest md5sums in Debian are some 8 MB. */
const CONTROL_BYTES = 32 * 1024 ** 2;

/** What a deb's control archive says; maintainer scripts are not among it, as nothing runs them. */
export interface DebControl {
  readonly control: string;
  /** Empty where the package has none. */
  readonly md5sums: string;
  /** Empty where the package has none. */
  readonly conffiles: string;
}

export interface Deb {
  readonly control: DebControl;
  /**
   * The files of the package, once, in its order. Absolute symlinks are kept; a hard link names an earlier file of the same deb. To its
   * end or to its `return`: until then the deb is held open. When it ends, the deb was read to its end.
   */
  readonly data: AsyncGenerator<Member>;
}

/**
 * Opens a Debian binary package (deb(5), format 2.0): `control.tar` and `data.tar`, packed as gz, xz, zstd or not at all.
 * @throws McpBuildError `archive-unsafe`, `archive-invalid`; whatever the input throws. So does `data`
 */
export async function readDeb(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: ReadOptions,
): Promise<Deb> {
  const subject = subjectOf(options);
  const feed = new Feed(chunks);
  const members = readAr(feed, subject);
  try {
    const version = await expectMember(members, /^debian-binary$/, subject);
    const [text] = version.size > 64 ? [] : await collect(version.content);
    if (!text || !/^2\.[0-9]+\n/.test(Buffer.from(text).toString('latin1')))
      throw unsafe(subject, 'is not a deb of format 2.0');
    const control = await readControl(
      await expectMember(members, /^control\.tar(?:\.gz|\.xz|\.zst)?$/, subject),
      subject,
    );
    const data = await expectMember(members, /^data\.tar(?:\.gz|\.xz|\.zst)?$/, subject);
    return { control, data: closing(readData(data, members, feed, subject), feed) };
  } catch (error) {
    await feed.close();
    throw error;
  }
}

async function expectMember(members: AsyncGenerator<ArMember>, name: RegExp, subject: Subject): Promise<ArMember> {
  const { value, done } = await members.next();
  if (done) throw invalid(subject, 'is a deb that was cut off');
  if (!name.test(value.name)) throw unsafe(subject, 'is not the member that a deb has there', value.name);
  return value;
}

/** A generator that was never asked for anything runs no `finally`: its `return` closes the deb all the same. */
function closing(data: AsyncGenerator<Member>, feed: Feed): AsyncGenerator<Member> {
  const back = data.return.bind(data);
  data.return = async (value) => {
    const result = await back(value);
    await feed.close();
    return result;
  };
  return data;
}

async function* readData(
  data: ArMember,
  members: AsyncGenerator<ArMember>,
  feed: Feed,
  subject: Subject,
): AsyncGenerator<Member> {
  try {
    yield* readTar(unpack(data, subject), { ...subject, kind: 'system' });
    const after = await members.next();
    if (!after.done) throw unsafe(subject, 'is a member that no deb has', after.value.name);
  } finally {
    await feed.close();
  }
}

async function readControl(archive: ArMember, subject: Subject): Promise<DebControl> {
  const found = new Map<string, string>();
  let kept = 0;
  for await (const member of readTar(unpack(archive, subject), { ...subject, kind: 'system' })) {
    if (member.type !== 'file' || !/^(?:control|md5sums|conffiles)$/.test(member.path)) continue;
    kept += member.size;
    if (kept > CONTROL_BYTES)
      throw unsafe(subject, `has control files of more than ${CONTROL_BYTES} bytes`, member.path);
    const { content } = member;
    const bytes = content instanceof Uint8Array ? content : Buffer.concat(await collect(content));
    found.set(member.path, Buffer.from(bytes).toString('utf8'));
  }
  const control = found.get('control');
  if (control === undefined) throw invalid(subject, 'is a deb without control file');
  return { control, md5sums: found.get('md5sums') ?? '', conffiles: found.get('conffiles') ?? '' };
}

/** By the member's name, as dpkg does it. Bytes behind the packed stream are refused by each. */
async function* unpack(member: ArMember, subject: Subject): AsyncGenerator<Uint8Array> {
  const meter = new Meter(subject);
  const feed = new Feed(member.content);
  switch (member.name.slice(member.name.indexOf('.tar') + 4)) {
    case '.gz':
      yield* gunzip(member.content, subject);
      return;
    case '.xz':
      yield* unxz(feed, subject, meter);
      return;
    case '.zst':
      yield* unzstd(feed, subject, meter);
      return;
    default:
      if (member.size > subject.limits.bytes) throw beyond(subject, 'bytes', member.size, member.name);
      yield* member.content;
  }
}

async function* unzstd(feed: Feed, subject: Subject, meter: Meter): AsyncGenerator<Uint8Array> {
  const parts = unzstdStream(feed);
  let counted = 0;
  try {
    for (;;) {
      const part = await parts.next().catch((cause: unknown) => {
        throw corrupt(subject, cause);
      });
      meter.packed(feed.position - counted);
      counted = feed.position;
      if (part.done) break;
      meter.unpacked(part.value.length);
      yield part.value;
    }
  } finally {
    await parts.return(undefined);
  }
  if (await feed.more()) throw unsafe(subject, 'goes on after the end of its zstd');
}

async function collect(content: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const parts: Uint8Array[] = [];
  for await (const part of content) parts.push(part);
  return parts;
}
