import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { redactor, resolveSecret } from '../../runner/index.ts';

let folder: string;
let environment: Record<string, string>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'secrets-'));
  environment = { PATH: `${folder}${delimiter}${process.env.PATH}`, TOKEN: 'from-env', EMPTY: '' };
  // The password managers' own commands, as far as they are called: each answers only to exactly the right arguments.
  const fakes: Record<string, string> = {
    'secret-tool': '[ "$*" = "lookup service mail account me" ] && printf from-keyring',
    security: '[ "$*" = "find-generic-password -s mail -a me -w" ] && printf "from-keychain\\n"',
    op: '[ "$*" = "read --no-newline op://vault/item/field" ] && printf from-op',
    fails: 'echo half-a-secret; exit 3',
    floods: 'while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done',
    prints: 'for word in "$@"; do printf "<%s>" "$word"; done',
  };
  for (const [name, script] of Object.entries(fakes)) {
    await writeFile(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  await writeFile(join(folder, 'token'), 'from-file\n', { mode: 0o600 });
  await writeFile(join(folder, 'open'), 'x', { mode: 0o644 });
  await chmod(join(folder, 'open'), 0o644);
  await writeFile(join(folder, 'large'), 'x'.repeat(100_000), { mode: 0o600 });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('a secret', () => {
  test.each<[string, string, NodeJS.Platform?]>([
    ['env:TOKEN', 'from-env'],
    ['keyring:mail/me', 'from-keyring', 'linux'],
    ['keyring:mail/me', 'from-keychain', 'darwin'],
    ['op://vault/item/field', 'from-op'],
    ['exec:prints one "two words" $HOME', '<one><two words><$HOME>'],
  ])('%s is found where it is kept', async (reference, value, platform = 'linux') => {
    expect(await resolveSecret(reference, { environment, platform })).toBe(value);
  });

  test('is read from a file of the user alone, without its final newline', async () => {
    expect(await resolveSecret(`file:${folder}/token`, { environment })).toBe('from-file');
    await expect(resolveSecret(`file:${folder}/open`, { environment })).rejects.toMatchObject({
      code: 'secret-exposed',
    });
    await expect(resolveSecret(`file:${folder}/large`, { environment })).rejects.toMatchObject({ code: 'too-large' });
  });

  test.each([
    'env:NOT_SET',
    'env:EMPTY',
    'file:/nowhere/at/all',
    'keyring:mail/other',
    'op://vault/other/field',
    'exec:not-installed-anywhere',
    'exec:fails',
    'exec:floods',
  ])('%s is an error that holds nothing of it', async (reference) => {
    const error = await resolveSecret(reference, { environment, platform: 'linux' }).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code: 'secret-unavailable', exit: 1 });
    expect(JSON.stringify([(error as Error).message, error])).not.toMatch(/half-a-secret|xxxx/);
  });

  test.each([
    '',
    'ghp_0123456789abcdef',
    'file:relative',
    'keyring:mail',
    'exec:',
    'exec:"open',
    'http://example.test/x',
  ])('is not "%s", which is not repeated either', async (reference) => {
    const error = await resolveSecret(reference, { environment }).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code: 'secret-invalid', exit: 2 });
    expect((error as Error).message).not.toContain('0123456789');
  });
});

describe('redaction', () => {
  const secret = 'tök"en/with+all\\of=it';
  const values = { TOKEN: secret, SHORT: 'abc', LINES: 'first line of a key\nsecond line of a key' };

  test.each([
    ['as it is', secret],
    ['in JSON', JSON.stringify({ secret })],
    ['in a URL', `https://example.test/?key=${encodeURIComponent(secret)}`],
    ['in Base64', `Basic ${Buffer.from(secret).toString('base64')}`],
    ['one line of several', 'read: second line of a key'],
  ])('finds it %s', (_name, text) => {
    const seen = redactor(values).text(`before ${text} after`);
    expect(seen).toMatch(/\[(TOKEN|LINES)\]/);
    for (const part of [
      'ken/with',
      'second line',
      encodeURIComponent(secret),
      Buffer.from(secret).toString('base64').slice(0, 12),
    ]) {
      expect(seen).not.toContain(part);
    }
    expect(seen).toMatch(/^before .* after$|^before .*\] after$/s);
  });

  test('leaves everything else alone, byte for byte', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 10 }), (chunks) => {
        const of = redactor({ TOKEN: 'a value that random bytes do not hold' });
        const seen = Buffer.concat([...chunks.map((chunk) => of.bytes(chunk)), of.end()]);
        expect(seen.equals(Buffer.concat(chunks))).toBe(true);
      }),
    );
  });

  test('finds it however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 10 }), (sizes) => {
        const text = Buffer.from(`x ${secret} tök"en ${secret}${secret} tök`);
        const of = redactor(values);
        const out: Uint8Array[] = [];
        for (let at = 0, turn = 0; at < text.length; turn += 1) {
          const size = sizes[turn % sizes.length] ?? 1;
          out.push(of.bytes(text.subarray(at, at + size)));
          at += size;
        }
        out.push(of.end());
        expect(Buffer.concat(out).toString()).toBe('x [TOKEN] tök"en [TOKEN][TOKEN] tök');
      }),
    );
  });
});
