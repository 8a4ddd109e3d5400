import { Feed } from './feed.ts';
import { Meter, type ReadOptions, subjectOf } from './limits.ts';
import { unxz } from './xz.ts';

/** Unpacks one xz file. @throws McpBuildError `archive-invalid`, `archive-unsafe`; whatever the input throws */
export async function* unpackXz(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: ReadOptions,
): AsyncGenerator<Uint8Array> {
  const subject = subjectOf(options);
  const feed = new Feed(chunks);
  try {
    yield* unxz(feed, subject, new Meter(subject));
  } finally {
    await feed.close();
  }
}
