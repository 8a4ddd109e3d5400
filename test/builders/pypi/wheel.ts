import { createHash } from 'node:crypto';
import { crc32, deflateRawSync } from 'node:zlib';

/** One member of a zip, with what a hostile one may claim of itself. */
export interface ZipMember {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Unix permission bits; 0o644 by default. */
  readonly mode?: number;
  readonly deflate?: boolean;
  /** Name in the local header, where it is to disagree with the central directory. */
  readonly localPath?: string;
  /** Unix file type bits; a regular file by default. */
  readonly type?: number;
}

/** A zip as ordinary tools write it: members in order, then the central directory. */
export function zip(members: readonly ZipMember[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const member of members) {
    const raw = Buffer.from(member.bytes);
    const data = member.deflate ? deflateRawSync(raw) : raw;
    const name = Buffer.from(member.path);
    const localName = Buffer.from(member.localPath ?? member.path);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(0x800, 2);
    common.writeUInt16LE(member.deflate ? 8 : 0, 4);
    common.writeUInt16LE(0, 6);
    common.writeUInt16LE(0x21, 8);
    common.writeUInt32LE(crc32(raw), 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(raw.length, 18);
    common.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, localName, data]);
    local.writeUInt16LE(localName.length, 26);
    const entry = Buffer.alloc(46);
    entry.write('PK\x01\x02', 0, 'latin1');
    entry.writeUInt16LE((3 << 8) | 20, 4);
    common.copy(entry, 6);
    entry.writeUInt32LE((((member.type ?? 0o100000) | (member.mode ?? 0o644)) << 16) >>> 0, 38);
    entry.writeUInt32LE(offset, 42);
    directory.push(entry, name);
    parts.push(local);
    offset += local.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 0, 'latin1');
  end.writeUInt16LE(members.length, 8);
  end.writeUInt16LE(members.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, central, end]);
}

export interface WheelRecipe {
  readonly name: string;
  readonly version: string;
  /** `py3-none-any` by default. */
  readonly tag?: string;
  /** Paths in the wheel and their contents; `<data>` and `<info>` stand for its `.data` and `.dist-info` folders. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  readonly modes?: Readonly<Record<string, number>>;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly requires?: readonly string[];
  readonly extras?: readonly string[];
  /** What METADATA says, where it is to lie. */
  readonly metadata?: { readonly name?: string; readonly version?: string };
  readonly purelib?: boolean;
  /** Rewrites RECORD's lines before they go in. */
  readonly record?: (lines: readonly string[]) => readonly string[];
  readonly members?: (members: readonly ZipMember[]) => readonly ZipMember[];
}

export interface Wheel {
  readonly file: string;
  readonly bytes: Buffer;
  readonly sha256: string;
}

export function recordLine(path: string, bytes: Uint8Array): string {
  return `${path},sha256=${createHash('sha256').update(bytes).digest('base64url')},${bytes.length}`;
}

/** A wheel as build backends make it. */
export function wheel(recipe: WheelRecipe): Wheel {
  const stem = `${recipe.name.replace(/[-.]+/g, '_')}-${recipe.version}`;
  const info = `${stem}.dist-info`;
  const place = (path: string) => path.replace('<data>', `${stem}.data`).replace('<info>', info);
  const tag = recipe.tag ?? 'py3-none-any';
  const contents: Record<string, string | Uint8Array> = {};
  for (const [path, content] of Object.entries(recipe.files ?? {})) contents[place(path)] = content;
  contents[`${info}/METADATA`] = [
    'Metadata-Version: 2.1',
    `Name: ${recipe.metadata?.name ?? recipe.name}`,
    `Version: ${recipe.metadata?.version ?? recipe.version}`,
    ...(recipe.extras ?? []).map((extra) => `Provides-Extra: ${extra}`),
    ...(recipe.requires ?? []).map((requirement) => `Requires-Dist: ${requirement}`),
    '',
    'Name: not-a-header',
    '',
  ].join('\n');
  contents[`${info}/WHEEL`] = [
    'Wheel-Version: 1.0',
    'Generator: test',
    `Root-Is-Purelib: ${(recipe.purelib ?? tag.endsWith('-none-any')) ? 'true' : 'false'}`,
    `Tag: ${tag}`,
    '',
  ].join('\n');
  if (recipe.scripts) {
    const lines = Object.entries(recipe.scripts).map(([name, object]) => `${name} = ${object}`);
    contents[`${info}/entry_points.txt`] = `[console_scripts]\n${lines.join('\n')}\n`;
  }
  const members: ZipMember[] = Object.entries(contents).map(([path, content]) => ({
    path,
    bytes: Buffer.from(content),
    deflate: content.length > 64,
    ...(recipe.modes?.[path] === undefined ? {} : { mode: recipe.modes[path] }),
  }));
  const lines = [...members.map(({ path, bytes }) => recordLine(path, bytes)), `${info}/RECORD,,`];
  members.push({ path: `${info}/RECORD`, bytes: Buffer.from(`${(recipe.record?.(lines) ?? lines).join('\n')}\n`) });
  const bytes = zip(recipe.members?.(members) ?? members);
  return { file: `${stem}-${tag}.whl`, bytes, sha256: createHash('sha256').update(bytes).digest('hex') };
}
