import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { inMemory, readDeb, readTar, readTarGz, readZip, unpackXz } from '../../../builders/archive/index.ts';
import type { Entry } from '../../../builders/entry.ts';
import { writeLayer } from '../../../builders/layer.ts';
import { bytesOf, readAll } from './read.ts';

/** What other programs make is read as they would, and what is written here is what they read. */

const work = mkdtempSync(join(tmpdir(), 'oracle-test-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));
let count = 0;
const fresh = () => {
  const folder = join(work, String(count++));
  mkdirSync(folder);
  return folder;
};

function has(command: string): boolean {
  try {
    execFileSync(command, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function run(command: string, args: readonly string[], input?: Uint8Array): Buffer {
  return execFileSync(command, args, { ...(input ? { input } : {}), maxBuffer: 2 ** 30 });
}

/** Trees of files that every format can hold, with names up to what ustar takes. */
const segment = fc.stringMatching(/^[A-Za-z0-9_é-]{1,30}$/).filter((name) => !name.startsWith('-'));
const tree = fc
  .uniqueArray(
    fc.record({
      path: fc.array(segment, { minLength: 1, maxLength: 4 }).map((segments) => segments.join('/')),
      content: fc.uint8Array({ maxLength: 40_000 }).map((bytes) => Buffer.from(bytes)),
      mode: fc.constantFrom(0o644, 0o755),
    }),
    // File systems of some machines that run this make no difference between cases.
    { minLength: 1, maxLength: 8, selector: ({ path }) => path.toLowerCase() },
  )
  .map((files) =>
    files.filter(({ path }) => !files.some((other) => other.path.toLowerCase().startsWith(`${path.toLowerCase()}/`))),
  );

interface Sample {
  readonly path: string;
  readonly content: Buffer;
  readonly mode: number;
}

function lay(files: readonly Sample[]): string {
  const folder = fresh();
  for (const { path, content, mode } of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
    chmodSync(join(folder, path), mode);
  }
  return folder;
}

const sorted = <T extends { path: string }>(all: readonly T[]) => [...all].sort((a, b) => (a.path < b.path ? -1 : 1));
const expected = (files: readonly Sample[]) =>
  sorted(files).map(({ path, content, mode }) => ({
    type: 'file',
    path,
    mode,
    size: content.length,
    content: content.toString('latin1'),
  }));

describe.skipIf(!has('tar'))('tar(1)', () => {
  test.each(['ustar', 'gnu', 'posix', 'v7'])('in the form %s', async (form) => {
    await fc.assert(
      fc.asyncProperty(tree, async (files) => {
        const bytes = run('tar', ['-c', `--format=${form}`, '-f', '-', '-C', lay(files), '.']);
        const all = await readAll(readTar([bytes], { name: form }));
        expect(sorted(all.filter(({ type }) => type === 'file'))).toEqual(expected(files));
      }),
      { numRuns: 8 },
    );
  });

  test.each(['gnu', 'posix'])('long names and links in the form %s', async (form) => {
    const folder = lay([{ path: `${'deep/'.repeat(40)}${'n'.repeat(120)}`, content: Buffer.from('x'), mode: 0o644 }]);
    symlinkSync('t'.repeat(150), join(folder, 'link'));
    const all = await readAll(
      readTar([run('tar', ['-c', `--format=${form}`, '-f', '-', '-C', folder, '.'])], { name: form }),
    );
    expect(all.find(({ type }) => type === 'symlink')).toMatchObject({ path: 'link', target: 't'.repeat(150) });
    expect(all.find(({ type }) => type === 'file')?.path).toBe(`${'deep/'.repeat(40)}${'n'.repeat(120)}`);
  });

  test('reads layers as they were meant', async () => {
    const long = `${'p'.repeat(120)}/${'n'.repeat(130)}`;
    const entries: Entry[] = [
      { type: 'file', path: 'app/bin/run', mode: 0o755, size: 3, content: Buffer.from('run') },
      { type: 'file', path: long, size: 4, content: Buffer.from('long') },
      { type: 'file', path: 'é', size: 1, content: Buffer.from('e') },
      { type: 'symlink', path: 'app/link', target: 'bin/run' },
      { type: 'hardlink', path: 'app/hard', target: 'app/bin/run' },
      { type: 'directory', path: 'home/user', mode: 0o700, uid: 65532, gid: 65532 },
    ];
    const blob = await bytesOf(writeLayer(entries).blob);
    run('gzip', ['-t'], blob);
    const listed = run('tar', ['-tvzf', '-', '--numeric-owner', '--utc', '--quoting-style=literal'], blob).toString();
    expect(listed.trim().split('\n')).toEqual([
      'drwxr-xr-x 0/0               0 1985-10-26 08:15 app/',
      'drwxr-xr-x 0/0               0 1985-10-26 08:15 app/bin/',
      '-rwxr-xr-x 0/0               3 1985-10-26 08:15 app/bin/run',
      `drwxr-xr-x 0/0               0 1985-10-26 08:15 ${'p'.repeat(120)}/`,
      `-rw-r--r-- 0/0               4 1985-10-26 08:15 ${long}`,
      '-rw-r--r-- 0/0               1 1985-10-26 08:15 é',
      'lrwxrwxrwx 0/0               0 1985-10-26 08:15 app/link -> bin/run',
      'hrwxr-xr-x 0/0               0 1985-10-26 08:15 app/hard link to app/bin/run',
      'drwxr-xr-x 0/0               0 1985-10-26 08:15 home/',
      'drwx------ 65532/65532       0 1985-10-26 08:15 home/user/',
    ]);
    const folder = fresh();
    run('tar', ['-xzf', '-', '-C', folder, '--no-same-owner'], blob);
    expect(readFileSync(join(folder, long), 'utf8')).toBe('long');
    expect(readFileSync(join(folder, 'app/hard'), 'utf8')).toBe('run');
  });
});

describe.skipIf(!has('gzip'))('gzip(1)', () => {
  test('its header has a name', async () => {
    const folder = lay([{ path: 'a', content: Buffer.from('x'), mode: 0o644 }]);
    run('tar', ['-cf', join(folder, 'a.tar'), '-C', folder, 'a']);
    run('gzip', ['-n9', '-k', join(folder, 'a.tar')]);
    run('gzip', ['-N', '-c', join(folder, 'a.tar')]);
    const named = run('gzip', ['-N', '-c', join(folder, 'a.tar')]);
    expect(await readAll(readTarGz([named], { name: 'a.tar.gz' }))).toMatchObject([{ path: 'a', content: 'x' }]);
  });
});

async function drained(parts: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of parts);
}

describe.skipIf(!has('xz'))('xz(1)', () => {
  test.each(['none', 'crc32', 'crc64'])('with the check %s, in several blocks', async (check) => {
    const text = Buffer.alloc(3_000_000, 'several blocks of text ');
    const packed = run('xz', ['-c', `--check=${check}`, '--block-size=1000000'], text);
    expect((await bytesOf(unpackXz([packed], { name: check }))).equals(text)).toBe(true);
  });

  test('a bomb is refused by its ratio', async () => {
    const packed = run('xz', ['-c', '-1'], Buffer.alloc(80 * 1024 * 1024));
    await expect(drained(unpackXz([packed], { name: 'x' }))).rejects.toMatchObject({
      code: 'archive-unsafe',
      fix: expect.stringContaining('MCP_BUILD_ARCHIVE_LIMITS=ratio='),
    });
  });

  test('a dictionary of 128 MiB is refused', async () => {
    const packed = run('xz', ['-c', '--lzma2=dict=128MiB'], Buffer.from('x'));
    await expect(bytesOf(unpackXz([packed], { name: 'x' }))).rejects.toMatchObject({ code: 'archive-unsafe' });
  });
});

const MAKE_ZIP = `
import io, json, sys, zipfile
class Stream(io.RawIOBase):
    def writable(self): return True
    def write(self, data): return sys.stdout.buffer.write(data)
out = Stream() if sys.argv[1] == "stream" else io.BytesIO()
with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
    for path, content, mode in json.load(sys.stdin):
        info = zipfile.ZipInfo(path)
        info.external_attr = (0o100000 | mode) << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        with z.open(info, "w", force_zip64=sys.argv[1] == "zip64") as f: f.write(bytes.fromhex(content))
if sys.argv[1] != "stream": sys.stdout.buffer.write(out.getvalue())
sys.stdout.buffer.flush()
`;

describe.skipIf(!has('python3'))('zipfile of Python', () => {
  // With `stream` sizes come in data descriptors, as the output can't be gone back in.
  test.each(['plain', 'zip64', 'stream'])('%s', async (kind) => {
    await fc.assert(
      fc.asyncProperty(tree, async (files) => {
        const list = JSON.stringify(files.map(({ path, content, mode }) => [path, content.toString('hex'), mode]));
        const bytes = run('python3', ['-c', MAKE_ZIP, kind], Buffer.from(list));
        expect(sorted(await readAll(readZip(inMemory(bytes), { name: kind })))).toEqual(expected(files));
      }),
      { numRuns: 4 },
    );
  });
});

describe.skipIf(!has('dpkg-deb'))('dpkg-deb(1)', () => {
  test.each(['gzip', 'xz', 'none'])('packed with %s', async (packer) => {
    const folder = lay([{ path: 'usr/share/sample/a', content: Buffer.from('A'), mode: 0o644 }]);
    mkdirSync(join(folder, 'DEBIAN'));
    const control =
      'Package: sample\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.test>\nDescription: sample\n';
    writeFileSync(join(folder, 'DEBIAN/control'), control);
    symlinkSync('/usr/share/sample/a', join(folder, 'usr/share/sample/b'));
    const out = join(fresh(), 'sample.deb');
    run('dpkg-deb', ['--root-owner-group', `-Z${packer}`, '-b', folder, out]);
    const deb = await readDeb([readFileSync(out)], { name: 'sample.deb' });
    expect(deb.control.control).toBe(control);
    expect((await readAll(deb.data)).filter(({ type }) => type !== 'directory')).toMatchObject([
      { path: 'usr/share/sample/a', content: 'A' },
      { path: 'usr/share/sample/b', target: '/usr/share/sample/a' },
    ]);
  });
});
