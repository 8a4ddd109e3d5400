import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { integrityFromHex, isDigest, parseDigest, parseIntegrity, sha256, verified } from '../../digest/index.ts';

const bytes = Buffer.from('the quick brown fox');
const digest = sha256(bytes);

async function drain(chunks: AsyncIterable<Uint8Array>): Promise<{ bytes: Buffer; error: unknown }> {
  const seen: Uint8Array[] = [];
  try {
    for await (const chunk of chunks) seen.push(chunk);
    return { bytes: Buffer.concat(seen), error: undefined };
  } catch (error) {
    return { bytes: Buffer.concat(seen), error };
  }
}

describe('digests', () => {
  it('takes sha256 and 64 lower-case hex digits, and nothing else', () => {
    expect(isDigest(digest)).toBe(true);
    for (const bad of [
      '',
      'sha256:',
      `sha256:${'A'.repeat(64)}`,
      `sha512:${'a'.repeat(128)}`,
      `${digest}0`,
      ` ${digest}`,
      `${digest}\n`,
    ]) {
      expect(isDigest(bad)).toBe(false);
      expect(() => parseDigest(bad)).toThrowError(expect.objectContaining({ code: 'digest-invalid' }));
    }
  });

  it('reads one strong integrity and refuses weak, double and padded ones', () => {
    const hex = createHash('sha512').update(bytes).digest('hex');
    const text = integrityFromHex('sha512', hex);
    expect(parseIntegrity(text)).toEqual({ algorithm: 'sha512', hex });
    for (const bad of [
      'sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=',
      `${text} ${text}`,
      text.slice(0, -4),
      `sha256-${text.slice(7)}`,
      `${text}\n`,
    ]) {
      expect(() => parseIntegrity(bad)).toThrowError(expect.objectContaining({ code: 'integrity-invalid' }));
    }
  });
});

describe('verified', () => {
  const chunks = () => [bytes.subarray(0, 4), bytes.subarray(4, 9), bytes.subarray(9)];

  it('passes the expected bytes through', async () => {
    const result = await drain(verified(chunks(), { name: 'x', integrity: digest, size: bytes.length }));
    expect(result).toEqual({ bytes, error: undefined });
  });

  it.each([
    ['other bytes', { integrity: sha256('something else') }],
    ['a shorter stream', { integrity: digest, size: bytes.length + 1 }],
    ['a longer stream', { integrity: digest, size: bytes.length - 1 }],
    ['more than the ceiling', { integrity: digest, limit: 5 }],
  ])('throws before the last chunk on %s', async (_what, expected) => {
    const result = await drain(verified(chunks(), { name: 'x', ...expected }));
    expect(result.error).toMatchObject({ code: 'integrity', input: 'x' });
    expect(result.bytes.length).toBeLessThan(bytes.length);
  });

  it('gives out nothing of a stream of one wrong chunk', async () => {
    const result = await drain(verified([bytes], { name: 'x', integrity: sha256('') }));
    expect(result.bytes.length).toBe(0);
    expect(result.error).toMatchObject({ code: 'integrity' });
  });

  it('accepts an empty file and nothing else as one', async () => {
    expect((await drain(verified([], { name: 'x', integrity: sha256('') }))).error).toBeUndefined();
    expect((await drain(verified([], { name: 'x', integrity: digest }))).error).toMatchObject({ code: 'integrity' });
  });
});
