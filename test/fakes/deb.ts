import { gzipSync } from 'node:zlib';

/** One member of a package's archive, with nothing checked: hostile ones are made here too. */
export interface DebMember {
  readonly path: string;
  /** As tar's type flag; by default a file, or a directory where the path ends in a slash. */
  readonly type?: 'file' | 'directory' | 'symlink' | 'hardlink' | 'device' | 'fifo';
  readonly content?: string | Uint8Array;
  readonly target?: string;
  readonly mode?: number;
}

export interface DebSpec {
  readonly name: string;
  readonly version?: string;
  readonly architecture?: string;
  /** More fields of the control file, such as `Depends`. */
  readonly fields?: Readonly<Record<string, string>>;
  readonly members?: readonly DebMember[];
  readonly md5sums?: string;
}

const FLAGS = { file: '0', hardlink: '1', symlink: '2', device: '3', directory: '5', fifo: '6' } as const;

/** A Debian binary package, deb(5). */
export function makeDeb(spec: DebSpec): Buffer {
  const control = tar([
    { path: './control', content: `${controlOf(spec)}\n` },
    ...(spec.md5sums === undefined ? [] : [{ path: './md5sums', content: spec.md5sums }]),
    { path: './postinst', content: '#!/bin/sh\ntouch /canary\n', mode: 0o755 },
  ]);
  return Buffer.concat([
    Buffer.from('!<arch>\n'),
    arMember('debian-binary', Buffer.from('2.0\n')),
    arMember('control.tar.gz', gzipSync(control)),
    arMember('data.tar.gz', gzipSync(tar(spec.members ?? []))),
  ]);
}

export function controlOf({ name, version = '1.0-1', architecture = 'amd64', fields = {} }: DebSpec): string {
  const all = {
    Package: name,
    Version: version,
    Architecture: architecture,
    Maintainer: 'Nobody <nobody@example.test>',
    ...fields,
  };
  return Object.entries({ ...all, Description: `${name}\n Long text.` })
    .map(([field, value]) => `${field}: ${value}`)
    .join('\n');
}

function arMember(name: string, content: Uint8Array): Buffer {
  const header = `${name.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}${String(content.length).padEnd(10)}\`\n`;
  return Buffer.concat([Buffer.from(header), content, Buffer.alloc(content.length % 2, '\n')]);
}

function tar(members: readonly DebMember[]): Buffer {
  const blocks: Buffer[] = [];
  for (const member of members) {
    const type = member.type ?? (member.path.endsWith('/') ? 'directory' : 'file');
    const content = Buffer.from(member.content ?? '');
    const header = Buffer.alloc(512);
    header.write(member.path, 0, 100);
    header.write(octal(member.mode ?? (type === 'directory' ? 0o755 : 0o644), 8), 100);
    header.write(octal(0, 8), 108);
    header.write(octal(0, 8), 116);
    header.write(octal(type === 'file' ? content.length : 0, 12), 124);
    header.write(octal(1, 12), 136);
    header.write('        ', 148);
    header.write(FLAGS[type], 156);
    header.write(member.target ?? '', 157, 100);
    header.write('ustar\0', 257);
    header.write('00', 263);
    header.write(octal(0, 8), 329);
    header.write(octal(0, 8), 337);
    header.write(
      `${header
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
      148,
    );
    blocks.push(header);
    if (type === 'file') blocks.push(content, Buffer.alloc((512 - (content.length % 512)) % 512));
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

function octal(value: number, width: number): string {
  return `${value.toString(8).padStart(width - 1, '0')}\0`;
}
