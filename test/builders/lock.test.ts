import { describe, expect, it } from 'vitest';
import { formatLock, inputsOf, type Lock, lockDigest, parseLock } from '../../builders/index.ts';
import { sha256 } from '../../digest/index.ts';
import { integrity, lock } from './sample-lock.ts';

const output = { diffId: sha256('tar'), digest: sha256('gzip'), size: 10 };

describe('lock', () => {
  it('reads what it writes, whatever order the fields came in', () => {
    const text = formatLock(lock);
    expect(formatLock(parseLock(text, 'x'))).toBe(text);
    const shuffled = JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(text)).reverse()));
    expect(formatLock(parseLock(shuffled, 'x'))).toBe(text);
  });

  it('is named by its inputs, not by what a build adds', () => {
    const platform = lock.platforms['linux/amd64']!;
    const built: Lock = {
      ...lock,
      compressor: 'x',
      index: sha256('index'),
      tools: sha256('tools'),
      platforms: {
        'linux/amd64': { image: sha256('image'), layers: platform.layers.map((layer) => ({ ...layer, output })) },
      },
    };
    expect(lockDigest(built)).toBe(lockDigest(lock));
    expect(inputsOf(built)).toEqual({ ...lock, before: null });
    expect(lockDigest({ ...lock, before: '2026-02-02T00:00:00.000Z' })).toBe(lockDigest(lock));
    expect(lockDigest({ ...lock, entrypoint: ['/other'] })).not.toBe(lockDigest(lock));
  });

  it.each([
    ['not JSON', 'x'],
    ['null', 'null'],
    ['a newer format', JSON.stringify({ ...lock, lockVersion: 2 })],
    ['an unknown field', JSON.stringify({ ...lock, extra: 1 })],
    ['a weak hash', JSON.stringify(lock).replaceAll(integrity, 'sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=')],
    ['no hash', JSON.stringify(lock).replaceAll(`"integrity":"${integrity}",`, '')],
    ['an unknown platform', JSON.stringify(lock).replaceAll('linux/amd64', 'plan9/vax')],
    ['no entrypoint', JSON.stringify({ ...lock, entrypoint: [] })],
  ])('refuses %s', (_what, text) => {
    expect(() => parseLock(text, 'some/image.lock.json')).toThrowError(
      expect.objectContaining({ code: 'lock-invalid', input: 'some/image.lock.json' }),
    );
  });
});
