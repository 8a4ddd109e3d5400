import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pypi } from '../../../builders/pypi/index.ts';
import { parseSource } from '../../../builders/source.ts';
import { type IndexFile, pypiIndex } from '../../fakes/pypi-index.ts';
import { wheel } from './wheel.ts';

// A stand-in for uv that answers as it is told: what the real one never says, and a broken or hostile index could make it say.
describe('what uv answers is not taken on trust', () => {
  let home: string;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'pypi-uv-'));
  });
  afterAll(() => rm(home, { recursive: true }));

  const made = wheel({ name: 'srv', version: '1.0', scripts: { srv: 'srv:main' } });

  async function resolve(
    answer: (origin: string) => string,
    script?: string,
    { source = 'pypi:srv', others = [] }: { source?: string; others?: readonly IndexFile[] } = {},
  ) {
    const index = await pypiIndex();
    index.add('srv', made, ...others);
    const bin = await mkdtemp(join(home, 'bin-'));
    const text = join(bin, 'answer.toml');
    await writeFile(text, answer(index.origin));
    const uv = `#!/bin/sh\nif [ "$1" = --version ]; then echo "uv 0.13.9"; exit; fi\n${script ?? `cat ${text}`}\n`;
    await writeFile(join(bin, 'uv'), uv, { mode: 0o755 });
    await writeFile(join(bin, 'python3'), '#!/bin/sh\necho 3 11 /usr/bin/python3\n', { mode: 0o755 });
    try {
      return await pypi.resolve(parseSource(source), ['linux/amd64'], {
        cache: home,
        before: new Date('2026-05-15T00:00:00Z'),
        workspace: undefined,
        environment: {
          HOME: home,
          XDG_CONFIG_DIRS: home,
          PIP_CONFIG_FILE: '/dev/null',
          PATH: `${bin}:/usr/bin:/bin`,
          UV_DEFAULT_INDEX: index.url.replace('//', '//me:hunter2@'),
          UV_FIND_LINKS: '/tmp',
          PIP_FIND_LINKS: '/tmp',
          UV_CONSTRAINT: '/tmp/constraint',
        },
      });
    } finally {
      await index.close();
    }
  }

  interface Told {
    readonly name?: string;
    readonly version?: string;
    readonly file?: string;
    readonly hash?: string;
    readonly uploaded?: string;
  }
  const pylock =
    ({ name = 'srv', version = '1.0', file = made.file, hash, uploaded }: Told) =>
    (origin: string) =>
      [
        'lock-version = "1.0"',
        '[[packages]]',
        `name = "${name}"`,
        `version = "${version}"`,
        `wheels = [{ url = "${origin}/files/srv/${file}", upload-time = ${uploaded ?? '2026-01-01T00:00:00Z'}, hashes = { ${hash ?? `sha256 = "${made.sha256}"`} } }]`,
      ].join('\n');

  test('the right answer is taken', async () => {
    expect((await resolve(pylock({}))).entrypoint).toEqual(['/usr/local/bin/srv']);
  });

  test.each<[string, Told, string]>([
    ['no hash', { hash: '' }, 'hash-unknown'],
    ['a weak hash', { hash: 'md5 = "d41d8cd98f00b204e9800998ecf8427e"' }, 'hash-unknown'],
    ['another hash', { hash: `sha256 = "${'0'.repeat(64)}"` }, 'integrity'],
    ['a wheel for another machine', { file: 'srv-1.0-cp313-cp313-win_amd64.whl' }, 'no-wheel'],
    ['a wheel of another package', { file: 'other-1.0-py3-none-any.whl' }, 'no-wheel'],
    ['a wheel of another version', { file: 'srv-2.0-py3-none-any.whl' }, 'no-wheel'],
    ['no server', { name: 'other', file: 'other-1.0-py3-none-any.whl' }, 'pylock-invalid'],
    ['a release after the cut-off', { uploaded: '2026-05-16T00:00:00Z' }, 'too-new'],
    ['a time that is none', { uploaded: '2026-05-01' }, 'age-unknown'],
  ])('%s', async (_, told, code) => {
    await expect(resolve(pylock(told))).rejects.toMatchObject({ code });
  });

  test('nonsense, and a program that dies', async () => {
    await expect(resolve(() => 'nonsense')).rejects.toMatchObject({ code: 'pylock-invalid' });
    await expect(resolve(() => '', 'kill -9 $$')).rejects.toMatchObject({ code: 'program-failed' });
    await expect(resolve(() => '', 'echo no >&2; exit 2')).rejects.toMatchObject({ code: 'unresolvable' });
  });

  test('it gets no secret in its words, and none of the variables that change what it does', async () => {
    const seen = join(home, 'seen');
    await expect(
      resolve(() => '', `[ -e ${seen} ] || { echo "$@" > ${seen}; env >> ${seen}; }; exit 2`),
    ).rejects.toMatchObject({
      code: 'unresolvable',
    });
    const text = await readFile(seen, 'utf8');
    expect(text).toContain('--no-build');
    expect(text).toContain('--python-version 3.13.5');
    expect(text).toContain('--exclude-newer 2026-05-15T00:00:00.000Z');
    expect(text).toMatch(/^UV_NO_CONFIG=1$/m);
    expect(text).toMatch(/^UV_INDEX_MCPBUILD_0_PASSWORD=hunter2$/m);
    expect(text.split('hunter2')).toHaveLength(2);
    expect(text).not.toMatch(/^(?:PIP_|UV_CONSTRAINT|UV_FIND_LINKS)/m);
  });

  const toml = '"$(dirname "$0")/answer.toml"';
  // Answers like one that falls back: with 1.0, unless a later release alone is asked for.
  const fallingBack = (said: string) =>
    `for file; do :; done; if grep -q == "$file"; then ${said}; else cat ${toml}; fi`;
  const noWheel = 'echo "Because dep==3 has no usable wheels and srv==2.0 depends on dep==3, no." >&2; exit 1';

  describe('an older release than the newest', () => {
    const two: IndexFile = { ...wheel({ name: 'srv', version: '2.0' }) };
    const sdist: IndexFile = { file: 'srv-3.0.tar.gz', bytes: Buffer.from('x') };

    test('is not taken in silence: what is in the way, and the name of the older one', async () => {
      const found = await resolve(pylock({}), fallingBack(noWheel), { others: [two] }).catch((error) => error);
      expect(found).toMatchObject({ code: 'no-wheel', input: 'dep', exit: 1 });
      expect(found.message).toContain('srv 2.0');
      expect(found.fix).toContain('pypi:srv==1.0.');
      expect(found.fix).toContain('overrides');
      const ranged = { others: [two], source: 'pypi:srv[cli]>=1' };
      const other = await resolve(pylock({}), fallingBack(noWheel), ranged).catch((error) => error);
      expect(other.fix).toContain('pypi:srv[cli]==1.0.');
    });

    test('nor where the newest is only source', async () => {
      const said = 'echo "Because srv==3.0 has no usable wheels, no." >&2; exit 1';
      const found = await resolve(pylock({}), fallingBack(said), { others: [two, sdist] }).catch((error) => error);
      expect(found).toMatchObject({ code: 'no-wheel', input: 'srv' });
      expect(found.message).toContain('srv 3.0');
      expect(found.fix).not.toContain('overrides');
    });

    test('nor where its packages contradict each other, or an index is down', async () => {
      const conflict = fallingBack('echo "Because a and b, no." >&2; exit 1');
      await expect(resolve(pylock({}), conflict, { others: [two] })).rejects.toMatchObject({ code: 'unresolvable' });
      const down = fallingBack('echo "error: Failed to fetch: x" >&2; exit 1');
      await expect(resolve(pylock({}), down, { others: [two] })).rejects.toMatchObject({
        code: 'registry-unavailable',
      });
    });

    test('is taken by its name, in its range, and where what the newest needs is too young', async () => {
      const script = fallingBack(noWheel);
      const named = `grep -q ==1.0 "$file" && cat ${toml}`;
      const byName = { others: [two], source: 'pypi:srv==1.0' };
      expect((await resolve(pylock({}), fallingBack(named), byName)).version).toBe('1.0');
      expect((await resolve(pylock({}), script, { others: [two], source: 'pypi:srv<2' })).version).toBe('1.0');
      const held = `case "$*" in *--exclude-newer*) echo "Because no version of dep, no." >&2; exit 1;; *) sed s/2026-01-01/2026-05-16/ ${toml};; esac`;
      expect((await resolve(pylock({}), fallingBack(held), { others: [two] })).version).toBe('1.0');
    });
  });

  test('a file without a line is one that uv warns of: it gets none', async () => {
    const seen = join(home, 'constraints');
    await expect(resolve(() => '', `echo "$@" > ${seen}; exit 2`)).rejects.toMatchObject({ code: 'unresolvable' });
    expect(await readFile(seen, 'utf8')).not.toMatch(/--constraints|--overrides/);
  });
});
