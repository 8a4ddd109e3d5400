import type { Feed } from './feed.ts';
import { beyond, invalid, type Subject, unsafe } from './limits.ts';

const MAGIC = '!<arch>\n';
const HEADER = 60;

export interface ArMember {
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** To be consumed before the next member is asked for. */
  readonly content: AsyncGenerator<Uint8Array>;
}

/**
 * The members of an ar archive in the form that dpkg writes (deb(5)): names of up to 16 bytes, no symbol tables.
 * @throws McpBuildError `archive-invalid`, `archive-unsafe`; whatever the feed throws
 */
export async function* readAr(feed: Feed, subject: Subject): AsyncGenerator<ArMember> {
  if (ascii(await feed.exactly(MAGIC.length)) !== MAGIC) throw invalid(subject, 'is not an ar archive');
  for (let count = 1; ; count++) {
    const header = ascii(await feed.exactly(HEADER));
    if (header === '') return;
    if (header.length < HEADER) throw invalid(subject, 'is an ar archive that was cut off');
    if (count > subject.limits.files) throw beyond(subject, 'files', count);
    const match = /^([A-Za-z0-9._+-]{1,16})\/? *$/.exec(header.slice(0, 16));
    const size = /^([0-9]{1,10}) *$/.exec(header.slice(48, 58))?.[1];
    if (!match || size === undefined || header.slice(58) !== '`\n')
      throw unsafe(subject, 'has an ar header that no dpkg writes');
    const member = { name: match[1] as string, size: Number(size) };
    if (member.size > subject.limits.fileBytes) throw beyond(subject, 'fileBytes', member.size, member.name);
    const begin = feed.position;
    const content = contentOf(feed, member.size, subject);
    yield { ...member, content };
    // What the consumer left is passed over, so that the next header is found.
    await content.return(undefined);
    const rest = contentOf(feed, member.size - (feed.position - begin), subject);
    while (!(await rest.next()).done);
    if (member.size % 2 === 1) {
      const [pad] = await feed.exactly(1);
      if (pad !== 0x0a && pad !== undefined) throw unsafe(subject, 'has something where an ar archive is padded');
    }
  }
}

async function* contentOf(feed: Feed, size: number, subject: Subject): AsyncGenerator<Uint8Array> {
  for (let left = size; left > 0; ) {
    const part = await feed.some(left);
    if (!part) throw invalid(subject, 'is an ar archive that was cut off');
    left -= part.length;
    yield part;
  }
}

function ascii(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}
