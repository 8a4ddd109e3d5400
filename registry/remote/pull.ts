import type { Descriptor } from '../store.ts';
import { protocolFault, TransientError } from './fault.ts';
import type { Session } from './session.ts';

/** Bytes after which a resumed transfer counts as getting on: what drips in smaller pieces uses up its attempts. */
const PROGRESS = 1024 * 1024;

/**
 * The bytes of a blob or manifest, not hashed yet, and with `lent` good only until the next are asked for; a transfer that is cut off goes on where it stopped (RFC 9110, 14.2).
 * @throws McpBuildError what `session.call` throws
 */
export async function* pull(
  session: Session,
  path: string,
  descriptor: Descriptor,
  options: { readonly scopes: readonly string[]; readonly accept?: string; readonly lent?: boolean },
): AsyncGenerator<Uint8Array> {
  const budget = session.budget();
  let at = 0;
  let renewed = 0;
  for (;;) {
    try {
      const answer = await session.call({
        method: 'GET',
        to: path,
        headers: {
          ...(options.accept ? { accept: options.accept } : {}),
          ...(at > 0 ? { range: `bytes=${at}-` } : {}),
        },
        scopes: options.scopes,
        expect: [200, 206],
        once: true,
      });
      // A registry may not know ranges, and begin again: what was given out already is skipped.
      let skip = answer.status === 206 ? at - startOf(answer.headers['content-range'], session.registry) : at;
      if (skip < 0) throw protocolFault(session.registry, 'answers with another range than was asked for');
      for await (const chunk of options.lent ? answer.lent : answer.body) {
        const rest = skip > 0 ? chunk.subarray(Math.min(skip, chunk.length)) : chunk;
        skip -= chunk.length - rest.length;
        at += rest.length;
        if (rest.length > 0) yield rest;
      }
      // An answer that says where it ends was whole: too short, it is the wrong one, which whoever hashes it will find.
      const framed = 'content-length' in answer.headers || 'transfer-encoding' in answer.headers;
      if (framed || at >= descriptor.size) return;
      throw new TransientError(
        `${session.registry} sent ${at} of ${descriptor.size} bytes of ${descriptor.digest}`,
        session.registry,
      );
    } catch (error) {
      if (at - renewed >= PROGRESS) {
        renewed = at;
        budget.renew();
      }
      await budget.wait(error);
    }
  }
}

function startOf(contentRange: string | undefined, registry: string): number {
  const match = /^bytes (\d{1,15})-/.exec(contentRange ?? '');
  if (!match) throw protocolFault(registry, 'answers with a range it does not name');
  return Number(match[1]);
}
