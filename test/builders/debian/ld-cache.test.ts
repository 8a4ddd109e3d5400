import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sonameOf } from '../../../builders/debian/elf.ts';
import { compareLibraries, ldCache } from '../../../builders/debian/ld-cache.ts';
import { makeLibrary } from './elf.ts';

const hasLdconfig = process.platform === 'linux' && spawnSync('ldconfig', ['-p']).status === 0;

describe('sonameOf', () => {
  test('reads the name of a library of the platform', () => {
    expect(sonameOf(makeLibrary('libfoo.so.1'), 'linux/amd64')).toBe('libfoo.so.1');
    expect(sonameOf(makeLibrary('libfoo.so.1', { machine: 183 }), 'linux/arm64')).toBe('libfoo.so.1');
  });

  test.each([
    ['of another processor', makeLibrary('libfoo.so.1', { machine: 183 })],
    ['that is a program', makeLibrary('libfoo.so.1', { type: 2 })],
    ['of 32 bits', Buffer.from(makeLibrary('libfoo.so.1')).fill(1, 4, 5)],
    ['that is big-endian', Buffer.from(makeLibrary('libfoo.so.1')).fill(2, 5, 6)],
    ['whose name is a path', makeLibrary('../../lib.so')],
    ['without a name', makeLibrary('')],
    ['that is a linker script', Buffer.from('/* GNU ld script */ INPUT(libc.so.6)')],
    ['of no bytes', new Uint8Array(0)],
  ])('gives nothing for a file %s', (_, bytes) => {
    expect(sonameOf(bytes, 'linux/amd64')).toBeUndefined();
  });

  test('never throws, whichever bytes are wrong or missing', () => {
    const good = makeLibrary('libfoo.so.1');
    fc.assert(
      fc.property(
        fc.nat(good.length),
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 8 }),
        (end, edits) => {
          const bytes = Buffer.from(good);
          for (const [at, value] of edits) bytes[at] = value;
          const name = sonameOf(bytes.subarray(0, end), 'linux/amd64');
          expect(name === undefined || /^[\w.+-]+$/.test(name)).toBe(true);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test.skipIf(!hasLdconfig)("reads this machine's own C library", async () => {
    const path = /libc\.so\.6 .* => (\S+)/.exec(spawnSync('ldconfig', ['-p'], { encoding: 'utf8' }).stdout)?.[1];
    const platform = process.arch === 'arm64' ? 'linux/arm64' : 'linux/amd64';
    expect(sonameOf(await readFile(path!), platform)).toBe('libc.so.6');
  });
});

describe('ldCache', () => {
  test('is this, byte for byte', () => {
    const bytes = Buffer.from(ldCache([{ soname: 'a.so.1', path: '/l/a.so.1' }], 'linux/arm64'));
    expect(bytes.toString('hex')).toBe(
      [
        Buffer.from('glibc-ld.so.cache1.1').toString('hex'),
        '01000000', // libraries
        '11000000', // bytes of strings
        '02000000', // little-endian
        '00000000', // no extensions
        '000000000000000000000000',
        '030a0000', // AArch64, glibc 2
        '48000000',
        '4f000000',
        '00000000',
        '0000000000000000',
        Buffer.from('a.so.1\0/l/a.so.1\0').toString('hex'),
      ].join(''),
    );
  });

  test('does not depend on the order it is given', () => {
    const libraries = ['libm.so.6', 'libc.so.6', 'lib10.so', 'lib9.so'].map((soname) => ({
      soname,
      path: `/usr/lib/${soname}`,
    }));
    expect(ldCache(libraries, 'linux/amd64')).toEqual(ldCache(libraries.toReversed(), 'linux/amd64'));
  });

  test.skipIf(!hasLdconfig || process.arch !== 'x64')('is read by ldconfig', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mcp-build-ld-'));
    try {
      const libraries = ['libz.so.1', 'libstdc++.so.6', 'libbz2.so.1.0'].map((soname) => ({
        soname,
        path: `/usr/lib/${soname}`,
      }));
      await writeFile(join(folder, 'cache'), ldCache(libraries, 'linux/amd64'));
      const { stdout } = spawnSync('ldconfig', ['-p', '-C', join(folder, 'cache')], { encoding: 'utf8' });
      expect(stdout.match(/^\t.*$/gm)).toEqual(
        ['libz.so.1', 'libstdc++.so.6', 'libbz2.so.1.0'].map((name) => `\t${name} (libc6,x86-64) => /usr/lib/${name}`),
      );
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('compareLibraries', () => {
  test.each([
    ['libfoo.so.9', 'libfoo.so.10'],
    ['libfoo.so', 'libfoo.so.1'],
    ['libfoo-a.so', 'libfoo1.so'],
    ['liba.so', 'libb.so'],
    ['libstdc++.so', 'libstdc.so'.replace('.', '1')],
  ])('%s comes before %s', (a, b) => {
    expect(compareLibraries(a, b)).toBeLessThan(0);
    expect(compareLibraries(b, a)).toBeGreaterThan(0);
  });

  // What glibc does character by character (elf/dl-cache.c), written as it is there.
  function reference(a: string, b: string): number {
    const code = (text: string, at: number) => (at < text.length ? text.charCodeAt(at) : 0);
    const digit = (value: number) => value >= 48 && value <= 57;
    let i = 0;
    let j = 0;
    while (code(a, i) !== 0) {
      if (digit(code(a, i))) {
        if (!digit(code(b, j))) return 1;
        let left = 0;
        let right = 0;
        while (digit(code(a, i))) left = left * 10 + code(a, i++) - 48;
        while (digit(code(b, j))) right = right * 10 + code(b, j++) - 48;
        if (left !== right) return left - right;
      } else if (digit(code(b, j))) return -1;
      else if (code(a, i) !== code(b, j)) return code(a, i) - code(b, j);
      else {
        i++;
        j++;
      }
    }
    return code(a, i) - code(b, j);
  }

  test('agrees with the loader', () => {
    const name = fc.stringMatching(/^[ab.+0-9-]{0,8}$/);
    fc.assert(
      fc.property(name, name, (a, b) => {
        expect(Math.sign(compareLibraries(a, b))).toBe(Math.sign(reference(a, b)));
      }),
      { numRuns: 2000 },
    );
  });
});
