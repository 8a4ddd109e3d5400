import type { Entry, FileEntry } from '../entry.ts';
import type { LayerLock } from '../lock.ts';
import type { Compiler } from './compiler.ts';
import { drain } from './interpreter.ts';
import { bytecodePath, SOURCE_LIMIT } from './selection.ts';

/** Which function makes the files; a new number whenever the same sources and interpreter would give other bytes. */
export const TRANSFORM = 'python-bytecode/1';

/**
 * The byte-code of a layer's modules, in the order of the layer. Only reads sources: what they say is not executed, and byte-code
 * that a package brings itself is replaced by what its source says.
 * @throws McpBuildError `bytecode-failed`, `bytecode-unavailable`; and what the entries throw
 */
export async function* bakeBytecode(sources: AsyncIterable<Entry>, compiler: Compiler): AsyncGenerator<Entry> {
  const pending: Promise<FileEntry | undefined>[] = [];
  const next = async (): Promise<readonly FileEntry[]> => {
    const entry = await pending.shift();
    return entry ? [entry] : [];
  };
  for await (const entry of sources) {
    if (entry.type !== 'file') continue;
    const path = bytecodePath(entry.path);
    if (path === undefined || entry.size > SOURCE_LIMIT) {
      await drain(entry);
      continue;
    }
    const work = compiled(path, entry.path, await contentOf(entry), compiler);
    // Looked at in its turn; until then it must not count as unhandled.
    work.catch(() => undefined);
    pending.push(work);
    if (pending.length >= compiler.parallel) yield* await next();
  }
  while (pending.length > 0) yield* await next();
}

async function compiled(
  path: string,
  source: string,
  bytes: Uint8Array,
  compiler: Compiler,
): Promise<FileEntry | undefined> {
  const content = await compiler.compile(source, bytes);
  return content && { type: 'file', path, mode: 0o644, size: content.length, content };
}

/** A copy: the bytes of an entry are the reader's only until it asks for the next one. */
async function contentOf({ content }: FileEntry): Promise<Uint8Array> {
  if (content instanceof Uint8Array) return Buffer.from(content);
  const parts: Buffer[] = [];
  for await (const part of content) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

const ENDING = '-bytecode';

/** Layers of byte-code by the layer they belong to. */
export function bytecodeLayer(of: 'base' | 'dependencies' | 'server'): LayerLock {
  return { name: `${of}${ENDING}`, transform: TRANSFORM, files: [] };
}

/** The layer among those below whose byte-code a layer holds; undefined where it is missing, or the layer is no byte-code. */
export function sourceLayer(layer: LayerLock, below: readonly LayerLock[]): LayerLock | undefined {
  return layer.name.endsWith(ENDING)
    ? below.find(({ name }) => name === layer.name.slice(0, -ENDING.length))
    : undefined;
}
