import { describe, expect, test } from 'vitest';
import { stderrLines } from '../../../cli/line/stderr.ts';

function shown(...chunks: readonly (string | Uint8Array)[]): string {
  const lines = stderrLines();
  for (const chunk of chunks) lines.take(Buffer.from(chunk as string));
  return lines.text();
}

const frames = (count: number) =>
  Array.from({ length: count }, (_, at) => `    at error${at} (/app/x.js:${at}:1)\n`).join('');

describe('what is kept of what a server writes', () => {
  test('is all of it where it is short, each line once', () => {
    expect(shown('')).toBe('');
    expect(shown('\n \n')).toBe('');
    expect(shown('Error: no\n  at x\n\nlast')).toBe('Error: no / at x / last');
  });

  test('is the error in front of a long trace, and the end', () => {
    expect(shown(`hello\nTypeError: x is not a function\n${frames(20)}\nNode.js v24\n`)).toBe(
      'TypeError: x is not a function / … / at error16 (/app/x.js:16:1) / at error17 (/app/x.js:17:1) / at error18 (/app/x.js:18:1) / at error19 (/app/x.js:19:1) / Node.js v24',
    );
    expect(shown(`Cannot find module 'a'\n${frames(5)}`)).toMatch(/^Cannot find module 'a' \/ at error0 /);
  });

  test('is whole however it is cut into chunks', () => {
    const bytes = Buffer.from(`Erreur fatale: clé\nfatal: clé\n${frames(9)}`);
    expect(shown(...[...bytes].map((byte) => Uint8Array.of(byte)))).toBe(shown(bytes));
    expect(shown(bytes)).toContain('fatal: clé / …');
  });

  test('is bounded', () => {
    expect(shown(`${'error '.repeat(1e6)}\n`.repeat(3), 'x'.repeat(1e6), 'y'.repeat(1e6)).length).toBeLessThan(4_000);
    expect(shown('Error: one\n'.repeat(10_000)).split(' / ')).toHaveLength(9);
  });
});
