import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sha256 } from '../../../digest/index.ts';
import {
  generateKey,
  keySigner,
  PREDICATES,
  parseBundle,
  parseTrustedRoot,
  type Signer,
  seal,
  statement,
  witnessesOf,
} from '../../../trust/index.ts';
import { verifyLogged } from '../../../trust/sigstore.ts';
import { type Rekor1, startRekor1 } from '../../fakes/sigstore-rekor1.ts';

let rekor: Rekor1;
beforeAll(async () => {
  rekor = await startRekor1();
});
beforeEach(() => {
  rekor.answer = undefined;
});
afterAll(() => rekor.stop());

const key = generateKey();
const said = statement([sha256('image')], PREDICATES.signature, {});
const witnessed = (services: Parameters<typeof witnessesOf>[0], by = key): Signer => ({
  ...keySigner(by),
  witnesses: witnessesOf(services, by),
});
const log = (version: number) => witnessed({ logs: [{ url: rekor.url, version }], timestampAuthorities: [] });

describe('a log of the first version', () => {
  test('testifies, and is verified, time included', async () => {
    const { json } = parseBundle(await seal(said, log(1)), 'b');
    const root = parseTrustedRoot(JSON.stringify(rekor.trustedRoot), 'root');
    const result = verifyLogged(json, key, root, { logEntries: 1, timestamps: 1 });
    if (typeof result === 'string') throw new Error(result);
    expect(Math.abs((result.times[0]?.getTime() ?? 0) - Date.now())).toBeLessThan(60_000);
    expect(verifyLogged(json, generateKey(), root, { logEntries: 1, timestamps: 1 })).toMatch(/signature/);
    expect(verifyLogged(json, key, root, { logEntries: 2, timestamps: 1 })).toMatch(/2 tlog entries/);
  });

  test('that another runs is not believed', async () => {
    const other = await startRekor1();
    const { json } = parseBundle(await seal(said, log(1)), 'b');
    const root = parseTrustedRoot(JSON.stringify(other.trustedRoot), 'root');
    expect(typeof verifyLogged(json, key, root, { logEntries: 1, timestamps: 1 })).toBe('string');
    await other.stop();
  });
});

describe.each([1, 2])('a log of version %i', (version) => {
  test.each([
    ['refuses', 400, '{"message":"no"}'],
    ['answers garbage', 201, 'garbage'],
    ['answers another form', 201, '{"a":{}}'],
    ['answers a list', 201, '[]'],
    ['answers without end', 201, `"${'x'.repeat(1024 * 1024)}"`],
  ])('that %s makes signing fail, and nothing is signed', async (_, status, body) => {
    rekor.answer = { status, body };
    await expect(seal(said, log(version))).rejects.toMatchObject({
      code: 'signing-service',
      exit: 5,
      input: expect.stringContaining(rekor.url),
    });
  });
});

test('a log of the second version takes EC P-256 keys only, and says so before it is asked', async () => {
  const ed25519 = generateKey('ed25519');
  const signer = witnessed({ logs: [{ url: rekor.url, version: 2 }], timestampAuthorities: [] }, ed25519);
  await expect(seal(said, signer)).rejects.toMatchObject({ code: 'signing-service' });
});

test('a timestamp authority that can’t be reached makes signing fail', async () => {
  const gone = await startRekor1();
  await gone.stop();
  const signer = witnessed({ logs: [], timestampAuthorities: [{ url: gone.url, version: 1 }] });
  await expect(seal(said, signer)).rejects.toMatchObject({ code: 'signing-service', exit: 5 });
});
