import { createHash } from 'node:crypto';
import { readTarGz } from './archive/index.ts';

/** One path of two layers that isn't the same in both. */
export interface TarDifference {
  readonly path: string;
  /** `added` and `removed` as seen from the first layer. */
  readonly what: 'added' | 'removed' | 'type' | 'mode' | 'target' | 'content' | 'order';
  readonly detail: string;
}

interface Listed {
  readonly type: string;
  readonly mode: string;
  readonly target: string;
  readonly content: string;
  readonly position: number;
}

/** What distinguishes two gzipped tars, path by path. @param most differences that are listed */
export async function tarDifferences(
  before: AsyncIterable<Uint8Array>,
  after: AsyncIterable<Uint8Array>,
  most: number,
): Promise<TarDifference[]> {
  const old = await listing(before, 'first layer');
  const now = await listing(after, 'second layer');
  const found: TarDifference[] = [];
  for (const [path, was] of old) {
    const is = now.get(path);
    if (!is) found.push({ path, what: 'removed', detail: was.type });
    else {
      for (const what of ['type', 'mode', 'target', 'content'] as const) {
        if (was[what] !== is[what]) found.push({ path, what, detail: `${is[what]} instead of ${was[what]}` });
      }
    }
    if (found.length >= most) return found;
  }
  for (const [path, is] of now) if (!old.has(path)) found.push({ path, what: 'added', detail: is.type });
  if (found.length > 0) return found.slice(0, most);
  // The same files: then they stand in another order, or their headers differ in what isn't listed.
  const moved = [...old].find(([path, { position }]) => now.get(path)?.position !== position);
  return moved
    ? [{ path: moved[0], what: 'order', detail: `at ${now.get(moved[0])?.position} instead of ${moved[1].position}` }]
    : [];
}

async function listing(bytes: AsyncIterable<Uint8Array>, name: string): Promise<Map<string, Listed>> {
  const files = new Map<string, Listed>();
  let position = 0;
  for await (const member of readTarGz(bytes, { name })) {
    const hash = createHash('sha256');
    if (member.type === 'file') {
      if (member.content instanceof Uint8Array) hash.update(member.content);
      else for await (const chunk of member.content) hash.update(chunk);
    }
    files.set(member.path, {
      type: member.type,
      mode: member.type === 'symlink' ? '' : member.mode.toString(8),
      target: 'target' in member ? member.target : '',
      content: member.type === 'file' ? hash.digest('hex') : '',
      position: position++,
    });
  }
  return files;
}
