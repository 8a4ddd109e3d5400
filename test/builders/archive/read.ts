import type { Member } from '../../../builders/archive/index.ts';
import { isFault } from '../../../errors/index.ts';

/** A member with its content read. */
export type Whole = Omit<Member, 'content'> & { readonly content?: string };

export async function bytesOf(content: Uint8Array | AsyncIterable<Uint8Array>): Promise<Buffer> {
  if (content instanceof Uint8Array) return Buffer.from(content);
  const parts: Uint8Array[] = [];
  for await (const part of content) parts.push(Uint8Array.from(part));
  return Buffer.concat(parts);
}

/** Everything an archive gives, contents as Latin-1 text. */
export async function readAll(members: AsyncIterable<Member>): Promise<Whole[]> {
  const all: Whole[] = [];
  for await (const member of members) {
    if (member.type !== 'file') {
      all.push(member);
      continue;
    }
    const { content, ...rest } = member;
    all.push({ ...rest, content: (await bytesOf(content)).toString('latin1') });
  }
  return all;
}

/** `ok`, or the code of the error that reading ends with. Anything but the project's own error is passed on. */
export async function verdictOf(members: AsyncIterable<Member> | (() => Promise<unknown>)): Promise<string> {
  try {
    await (typeof members === 'function' ? members() : readAll(members));
    return 'ok';
  } catch (error) {
    if (isFault(error)) return error.code;
    throw error;
  }
}
