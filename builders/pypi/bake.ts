import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { McpBuildError } from '../../errors/index.ts';
import { type FileMember, readZip, spool } from '../archive/index.ts';
import type { Entry } from '../entry.ts';
import type { LayerLock, Open, WheelArtifact } from '../lock.ts';
import { withoutConflicts } from './beside.ts';
import { readScripts } from './entrypoint.ts';
import { wheelInvalid } from './faults.ts';
import { type Place, placeOf, recordPath, SCRIPTS, SITE } from './layout.ts';
import { checkMetadata, parseMetadata } from './metadata.ts';
import { formatRecord, parseRecord, type RecordedFile } from './record.ts';
import { FIRST_LINE, launcher, rewrittenShebang } from './script.ts';

/** Which function makes the files; a new number whenever the same wheels would give other bytes. */
export const TRANSFORM = 'pypi/1';

/** What an installer has to read itself. In bytes. */
const INFO_LIMIT = 64 * 1024 * 1024;
const READ_INFO: ReadonlySet<string> = new Set(['METADATA', 'WHEEL', 'RECORD', 'entry_points.txt']);
/** Written anew, whatever the wheel has under these names. */
const OWN_INFO: ReadonlySet<string> = new Set(['RECORD', 'INSTALLER']);
const INSTALLER = 'mcp-build\n';

/** What lies at a path already, and who put it there. */
interface Laid {
  readonly by: string;
  readonly sha256: string;
}

/**
 * Installs wheels by the binary distribution format, each in its archive's order, then its launchers, INSTALLER and RECORD. Executes
 * nothing. The layers below are for a server, which must not replace a file of its dependencies. A wheel is checked against its RECORD while it passes through, so a wrong one is refused when its last file has been given out.
 * @throws McpBuildError `wheel-invalid`, `record-mismatch`, `manifest-mismatch`, `file-conflict`, `archive-unsafe`, `archive-invalid`, `integrity`
 */
export async function* bake(layer: LayerLock, open: Open, below: readonly LayerLock[] = []): AsyncGenerator<Entry> {
  const dependencies = below.find(({ name, transform }) => name === 'dependencies' && transform === TRANSFORM);
  if (layer.name !== 'server' || !dependencies) yield* installAll(layer, open);
  else yield* withoutConflicts(installAll(layer, open), dependencies, open, () => installAll(dependencies, open));
}

async function* installAll(layer: LayerLock, open: Open): AsyncGenerator<Entry> {
  const laid = new Map<string, Laid>();
  const folders = new Map<string, string>();
  for (const file of layer.files) {
    if (file.kind !== 'wheel') throw wheelInvalid(file.file, 'is no wheel, in a layer of wheels');
    yield* install(file, open, laid, folders);
  }
}

async function* install(
  wheel: WheelArtifact,
  open: Open,
  laid: Map<string, Laid>,
  folders: Map<string, string>,
): AsyncGenerator<Entry> {
  const source = await spool(open(wheel), { name: wheel.file, folder: tmpdir() });
  try {
    const seen = new Map<string, RecordedFile>();
    const installed = new Map<string, RecordedFile>();
    const info = new Map<string, Buffer>();
    let infoFolder: string | undefined;

    /** Whether a file is new at its path. @throws `file-conflict` */
    const claim = (path: string, sha256: string): boolean => {
      const before = laid.get(path);
      if (before) {
        if (before.sha256 === sha256) return false;
        throw conflict(path, before.by, wheel);
      }
      const folder = folders.get(path);
      if (folder !== undefined) throw conflict(path, folder, wheel);
      for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
        const parent = path.slice(0, at);
        const file = laid.get(parent);
        if (file) throw conflict(parent, file.by, wheel);
        if (folders.has(parent)) break;
        folders.set(parent, wheel.file);
      }
      laid.set(path, { by: wheel.file, sha256 });
      return true;
    };
    const own = (path: string, text: string, mode: number): Entry[] => {
      const content = Buffer.from(text);
      const file = recorded(content);
      installed.set(recordPath(path), file);
      return claim(path, file.sha256) ? [{ type: 'file', path, mode, size: content.length, content }] : [];
    };

    for await (const member of readZip(source, { name: wheel.file })) {
      if (member.type === 'directory') continue;
      const place = placeOf(member.path, wheel);
      const mode = place.kind === 'script' || member.mode & 0o111 ? 0o755 : 0o644;
      if (place.kind === 'info') {
        const folder = place.path.slice(0, -place.name.length - 1);
        infoFolder ??= folder;
        if (folder !== infoFolder) throw wheelInvalid(wheel.file, 'has two .dist-info folders');
      }
      if (member.content instanceof Uint8Array || (place.kind === 'info' && READ_INFO.has(place.name))) {
        // Small enough to be hashed before it is given out, so that a second copy of the same file can be left out.
        const content = member.content instanceof Uint8Array ? member.content : await whole(member, wheel);
        const before = recorded(content);
        seen.set(member.path, before);
        if (place.kind === 'info' && READ_INFO.has(place.name)) info.set(place.name, Buffer.from(content));
        if (place.kind === 'info' && OWN_INFO.has(place.name)) continue;
        const bytes = place.kind === 'script' ? withShebang(content) : content;
        const after = bytes === content ? before : recorded(bytes);
        installed.set(recordPath(place.path), after);
        if (claim(place.path, after.sha256)) {
          yield { type: 'file', path: place.path, mode, size: bytes.length, content: bytes };
        }
      } else {
        yield* large(member, member.content, place, mode);
      }
    }

    /** A file that is hashed as it passes. Where the path is taken it is only read, to see whether it is the same. */
    async function* large(
      member: FileMember,
      content: AsyncIterable<Uint8Array>,
      place: Place,
      mode: number,
    ): AsyncGenerator<Entry> {
      const parts = content[Symbol.asyncIterator]();
      const head = place.kind === 'script' ? await beginning(parts) : new Uint8Array(0);
      const shebang = rewrittenShebang(head);
      const size = member.size - (shebang ? shebang.replaced - shebang.by.length : 0);
      const original = createHash('sha256').update(head);
      const result = createHash('sha256');
      const first = shebang ? Buffer.concat([shebang.by, head.subarray(shebang.replaced)]) : head;
      const rest = { [Symbol.asyncIterator]: () => parts };
      async function* through(): AsyncGenerator<Uint8Array> {
        if (first.length > 0) {
          result.update(first);
          yield first;
        }
        for await (const part of rest) {
          original.update(part);
          result.update(part);
          yield part;
        }
      }
      const taken = laid.get(place.path);
      if (taken) {
        for await (const _ of through());
      } else {
        // The place is taken before the bytes are known: a folder in the way must stop it before it is written.
        claim(place.path, '');
        yield { type: 'file', path: place.path, mode, size, content: through() };
      }
      const sha256 = result.digest('base64url');
      seen.set(member.path, { sha256: original.digest('base64url'), size: member.size });
      installed.set(recordPath(place.path), { sha256, size });
      if (taken) claim(place.path, sha256);
      else laid.set(place.path, { by: wheel.file, sha256 });
    }

    const text = (name: string) => info.get(name)?.toString('utf8');
    checkWheel(text('WHEEL'), wheel);
    checkMetadata(parseMetadata(required(text('METADATA'), 'METADATA', wheel)), wheel);
    const folder = infoFolder ?? SITE;
    const recordName = `${folder.slice(SITE.length + 1)}/RECORD`;
    checkRecord(parseRecord(required(text('RECORD'), 'RECORD', wheel), wheel.file), seen, recordName, wheel);
    for (const script of readScripts(text('entry_points.txt') ?? '', wheel.file)) {
      yield* own(`${SCRIPTS}/${script.name}`, launcher(script), 0o755);
    }
    yield* own(`${folder}/INSTALLER`, INSTALLER, 0o644);
    installed.set(recordName, { sha256: undefined, size: undefined });
    const record = Buffer.from(formatRecord(installed));
    claim(`${folder}/RECORD`, recorded(record).sha256);
    yield { type: 'file', path: `${folder}/RECORD`, mode: 0o644, size: record.length, content: record };
  } finally {
    await source[Symbol.asyncDispose]();
  }
}

/** Every file must be in RECORD with its hash, but RECORD itself and its signatures; what RECORD has beyond that was never shipped. */
function checkRecord(
  record: ReadonlyMap<string, RecordedFile>,
  seen: ReadonlyMap<string, RecordedFile>,
  own: string,
  wheel: WheelArtifact,
): void {
  const exempt = new Set([own, `${own}.jws`, `${own}.p7s`]);
  for (const [path, file] of seen) {
    if (exempt.has(path)) continue;
    const said = record.get(path);
    const what =
      said?.sha256 === undefined
        ? 'is not in its RECORD with a hash'
        : said.sha256 !== file.sha256 || (said.size !== undefined && said.size !== file.size)
          ? 'is not what its RECORD says'
          : undefined;
    if (what === undefined) continue;
    throw new McpBuildError({
      code: 'record-mismatch',
      message: `${wheel.file}: ${path} ${what}`,
      input: wheel.file,
      fix: 'The wheel was changed after it was built, or badly built: use another version of this package.',
      exit: 4,
    });
  }
}

function checkWheel(text: string | undefined, wheel: WheelArtifact): void {
  const version = /^Wheel-Version:[ \t]*([0-9]+)\.[0-9]+[ \t]*\r?$/im.exec(required(text, 'WHEEL', wheel))?.[1];
  if (version !== '1') throw wheelInvalid(wheel.file, 'is of a version of the wheel format that is not known here');
}

function required(text: string | undefined, name: string, wheel: WheelArtifact): string {
  if (text === undefined) throw wheelInvalid(wheel.file, `has no ${name}`);
  return text;
}

function recorded(content: Uint8Array): { readonly sha256: string; readonly size: number } {
  return { sha256: createHash('sha256').update(content).digest('base64url'), size: content.length };
}

function withShebang(content: Uint8Array): Uint8Array {
  const shebang = rewrittenShebang(content);
  return shebang ? Buffer.concat([shebang.by, content.subarray(shebang.replaced)]) : content;
}

async function whole(member: FileMember, wheel: WheelArtifact): Promise<Buffer> {
  if (member.size > INFO_LIMIT) throw wheelInvalid(wheel.file, `has a ${member.path} of ${member.size} bytes`);
  if (member.content instanceof Uint8Array) return Buffer.from(member.content);
  const parts: Buffer[] = [];
  for await (const part of member.content) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

/** Enough of a stream to see its first line; what it took is copied, since the stream reuses its buffers. */
async function beginning(parts: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  let head = Buffer.alloc(0);
  while (head.length < FIRST_LINE) {
    const part = await parts.next();
    if (part.done) break;
    head = Buffer.concat([head, part.value]);
  }
  return head;
}

function conflict(path: string, other: string, wheel: WheelArtifact): McpBuildError {
  return new McpBuildError({
    code: 'file-conflict',
    message: `${wheel.file} and ${other} both install /${path}, with different content`,
    input: wheel.file,
    fix: 'Which one counts would depend on the order: use versions of these packages that do not share files.',
  });
}
