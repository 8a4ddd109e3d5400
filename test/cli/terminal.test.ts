import { afterEach, expect, it, vi } from 'vitest';
import { terminal } from '../../cli/terminal.ts';

afterEach(() => vi.restoreAllMocks());

/** What `result` writes to a stdout that is a terminal, or isn't. */
async function written(isTTY: boolean, text: string): Promise<string> {
  const before = Object.getOwnPropertyDescriptor(process.stdout, 'isTTY');
  let out = '';
  vi.spyOn(process.stdout, 'write').mockImplementation(((chunk: string, done: (error?: Error) => void) => {
    out += chunk;
    done();
    return true;
  }) as typeof process.stdout.write);
  Object.defineProperty(process.stdout, 'isTTY', { value: isTTY, configurable: true });
  try {
    await terminal({}).result({}, text);
  } finally {
    if (before) Object.defineProperty(process.stdout, 'isTTY', before);
    else Reflect.deleteProperty(process.stdout, 'isTTY');
  }
  return out;
}

it('shows no name that moves a terminal’s cursor, and gives other programs the bytes as they are', async () => {
  const text = 'tools: a\u001b]0;title\u0007\u009b2J\u202e\tb\r\nc';
  expect(await written(true, text)).toBe('tools: a\ufffd]0;title\ufffd\ufffd2J\ufffd\tb\nc\n');
  expect(await written(false, text)).toBe(`${text}\n`);
});
