import { join } from 'node:path';
import { z } from 'zod';
import { McpBuildError } from '../errors/index.ts';
import { readBounded, writeAtomic } from '../files/index.ts';

const schema = z.strictObject({
  version: z.literal(1),
  /** By digest of what was verified: when it was denied, and why. */
  images: z.record(z.string().max(200), z.strictObject({ at: z.iso.datetime(), why: z.string().max(2000) })),
});

export type Denied = z.infer<typeof schema>['images'];

/** In bytes; a record takes some 300. */
const LIMIT = 4 * 1024 * 1024;

function fileOf(state: string): string {
  return join(state, 'denied.json');
}

/** The images that `watch` has stopped on this machine. @param state mcp-build's own folder @throws McpBuildError `denied-unreadable` */
export async function readDenied(state: string): Promise<Denied> {
  const file = fileOf(state);
  const text = await readBounded(file, LIMIT).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw unreadable(file, error);
  });
  if (!text) return {};
  try {
    return schema.parse(JSON.parse(text.toString('utf8'))).images;
  } catch (error) {
    throw unreadable(file, error);
  }
}

export async function writeDenied(state: string, images: Denied): Promise<void> {
  await writeAtomic(fileOf(state), `${JSON.stringify({ version: 1, images }, null, 2)}\n`, 0o600);
}

/**
 * What was stopped stays stopped: a gateway or a keeper verified it long ago, and would start it again at the next call.
 * @throws McpBuildError `denied`, `denied-unreadable`
 */
export async function refuseDenied(state: string, digest: string, name: string): Promise<void> {
  const images = await readDenied(state);
  const found = Object.hasOwn(images, digest) ? images[digest] : undefined;
  if (!found) return;
  throw new McpBuildError({
    code: 'denied',
    message: `${name} may not start: it was stopped on ${found.at.slice(0, 10)}: ${found.why}`,
    input: digest,
    fix: 'Publish or lock it again; once nothing of it is refused any more, the next `mcp-build watch` lets it start.',
    exit: 3,
  });
}

function unreadable(file: string, cause: unknown): McpBuildError {
  return new McpBuildError({
    code: 'denied-unreadable',
    message: `${file}, which says what may not start, can't be read`,
    input: file,
    fix: 'Restore it, or remove it and run `mcp-build watch`, which writes it anew.',
    exit: 3,
    cause,
  });
}
