import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { pieces } from '../../runner/frames.ts';
import { frame } from '../fakes/docker.ts';

async function* cut(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (let turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function joined(chunks: AsyncIterable<Uint8Array>) {
  const out = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  for await (const { stream, bytes } of pieces(chunks)) out[stream].push(bytes);
  return { stdout: Buffer.concat(out.stdout), stderr: Buffer.concat(out.stderr) };
}

describe('frames', () => {
  test('come out whole however the connection cuts them', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.constantFrom(1 as const, 2 as const), fc.uint8Array({ maxLength: 300 })), {
          maxLength: 20,
        }),
        fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 8 }),
        async (frames, sizes) => {
          const wire = Buffer.concat(frames.map(([stream, bytes]) => frame(stream, bytes)));
          const seen = await joined(cut(wire, sizes));
          const wanted = (stream: 1 | 2) =>
            Buffer.concat(frames.filter(([of]) => of === stream).map(([, bytes]) => bytes));
          expect(seen.stdout.equals(wanted(1))).toBe(true);
          expect(seen.stderr.equals(wanted(2))).toBe(true);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('are given out before they are complete, so that a long one needs no memory', async () => {
    const header = Buffer.from([1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    const source = (async function* () {
      yield header;
      yield Buffer.from('first');
      throw new Error('nothing more was needed');
    })();
    const { value } = await pieces(source).next();
    expect(Buffer.from(value?.bytes ?? '').toString()).toBe('first');
  });

  test.each([
    ['an unknown stream', [7, 0, 0, 0, 0, 0, 0, 1, 65]],
    ['plain text', [...Buffer.from('HTTP/1.1 500')]],
  ])('refuses %s', async (_name, bytes) => {
    await expect(joined(cut(Uint8Array.from(bytes), [64]))).rejects.toMatchObject({ code: 'docker-failed' });
  });
});
