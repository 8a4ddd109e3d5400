import { afterEach, describe, expect, test } from 'vitest';
import { DEFAULT_LIMITS, parseArchiveLimits, printable, readTar, useLimits } from '../../../builders/archive/index.ts';
import { tar, tarMember } from '../../fakes/archives.ts';
import { readAll, verdictOf } from './read.ts';

describe('limits as a person writes them', () => {
  test('are taken by name', () => {
    expect(parseArchiveLimits('files=200000, ratio=1000')).toEqual({ files: 200_000, ratio: 1000 });
    expect(parseArchiveLimits('')).toEqual({});
  });

  test.each([
    'files',
    'files=',
    'files=-1',
    'files=0',
    'files=1e3',
    'constructor=1',
    'other=1',
    'files=9999999999999999',
    'files=1;ratio=2',
  ])('%s is refused', (text) => {
    expect(() => parseArchiveLimits(text)).toThrow(expect.objectContaining({ code: 'limit-invalid', exit: 2 }));
  });
});

describe('limits of a process', () => {
  afterEach(() => useLimits({}));
  const bytes = tar(tarMember({ name: 'a' }), tarMember({ name: 'b' }), tarMember({ name: 'c' }));
  const verdict = () => verdictOf(readTar([bytes], { name: 'sample.tar' }));

  test('hold until they are set again', async () => {
    useLimits({ files: 2 });
    expect(await verdict()).toBe('archive-unsafe');
    useLimits({ files: 3 });
    expect(await verdict()).toBe('ok');
    useLimits({});
    expect(await verdict()).toBe('ok');
  });

  test('are raised by what the error says', async () => {
    useLimits({ files: 2 });
    const { fix } = await readAll(readTar([bytes], { name: 'sample.tar' })).catch((error) => error);
    useLimits({
      ...DEFAULT_LIMITS,
      ...parseArchiveLimits(/MCP_BUILD_ARCHIVE_LIMITS=([^ ]*[0-9])/.exec(fix)?.[1] ?? ''),
    });
    expect(await verdict()).toBe('ok');
  });
});

test('names from archives are shown on one line, quoted, short, and without effect on a terminal', () => {
  expect(printable('a"b\\c')).toBe('"a\\"b\\\\c"');
  expect(printable('\u001b[2J\n\u202e\u2028\u0000')).toBe('"\\u{1b}[2J\\u{a}\\u{202e}\\u{2028}\\u{0}"');
  expect(printable('é世界')).toBe('"é世界"');
  expect(printable('x'.repeat(1000)).length).toBeLessThan(210);
});
