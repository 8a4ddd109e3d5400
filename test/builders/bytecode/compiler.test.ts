import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { type Compiler, compilerOf } from '../../../builders/bytecode/index.ts';
import { TAG } from '../../../builders/bytecode/interpreter.ts';

const FAKE = fileURLToPath(new URL('../../fakes/python-compiler.ts', import.meta.url));
const open: Compiler[] = [];

function compiler(tag: string, processes = 1, timeout?: number, program: string = process.execPath): Compiler {
  const one = compilerOf({ program, words: [FAKE, tag], environment: {}, folder: '/' }, processes, timeout);
  open.push(one);
  return one;
}
const text = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString();
const source = (content: string) => Buffer.from(content);

afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

describe('a pipe to an interpreter', () => {
  test('carries path and source whole, and the answers back to who asked', async () => {
    const one = compiler(TAG, 2);
    const long = 'x'.repeat(3_000_000);
    const answers = await Promise.all([
      one.compile('a/é.py', source('1')),
      one.compile('b.py', source(long)),
      one.compile('none.py', source('2')),
      one.compile('c.py', source('')),
      one.compile('d.py', source('"é"')),
      one.compile('e.py', source('2 ** .5')),
    ]);
    expect(answers.map(text)).toEqual([
      '0 /a/é.py 1',
      `0 /b.py ${long}`,
      undefined,
      '0 /c.py ',
      '1 /d.py "é"',
      '2 /e.py 2 ** .5',
    ]);
  });

  test.each([
    ['crash.py', 'crashes'],
    ['cut.py', 'crashes'],
    ['long.py', 'crashes'],
  ])('one that fails at %s names it', async (path) => {
    const one = compiler(TAG);
    expect(text(await one.compile('a.py', source('1')))).toBe('0 /a.py 1');
    await expect(one.compile(path, source('1'))).rejects.toMatchObject({ code: 'bytecode-failed', input: path });
  });

  test('one that takes too long is ended', async () => {
    const one = compiler(TAG, 1, 1_000);
    await expect(one.compile('hang.py', source('1'))).rejects.toMatchObject({
      code: 'bytecode-failed',
      input: 'hang.py',
    });
  });

  test.each([
    ['of another version', () => compiler('cpython-312')],
    ['that never says what it is', () => compiler('silent', 1, 500)],
    ['that is not there', () => compiler(TAG, 1, undefined, '/nonexistent/python')],
    ['that is no program', () => compiler(TAG, 1, undefined, FAKE)],
    ['that ends at once', () => compiler(TAG, 1, undefined, '/bin/false')],
  ])('an interpreter %s is none', async (_, start) => {
    await expect(start().compile('a.py', source('1'))).rejects.toMatchObject({ code: 'bytecode-unavailable' });
  });

  test('closing one that was never used, or twice, does nothing', async () => {
    const one = compiler(TAG);
    await one.close();
    await one.compile('a.py', source('1'));
    await one.close();
    await one.close();
  });
});
