import { expect, test, vi } from 'vitest';
import { bearer } from '../../../gateway/access/bearer.ts';
import { providerKeys } from '../../../gateway/access/keys.ts';
import { startProvider } from '../../fakes/oidc-provider.ts';

// Child processes start slowly on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

const MINUTE = 60_000;

async function setup() {
  const provider = await startProvider();
  const { issuer } = provider;
  const clock = { at: Date.now() };
  const now = () => clock.at;
  const settings = {
    issuer,
    jwksURI: undefined,
    audiences: [],
    algorithms: ['RS256'],
    clockSkew: 60,
    requiredScopes: [],
    nameClaim: 'sub',
  };
  const tokens = bearer(settings, providerKeys({ issuer, jwksURI: undefined, now }), now);
  const exp = Math.floor(clock.at / 1000) + 7 * 24 * 3600;
  return {
    provider,
    clock,
    token: () => provider.token({ aud: 'here', exp, jti: Math.random() }),
    kind: async (token: string) => (tokens.known(token) ?? (await tokens.verify(token))).kind,
    asked: () => provider.asked.get('/keys') ?? 0,
    [Symbol.asyncDispose]: () => provider[Symbol.asyncDispose](),
  };
}

test('a provider’s new key counts at once, and a withdrawn one no longer than ten minutes', async () => {
  await using it = await setup();
  const old = it.token();
  expect(await it.kind(old)).toBe('verified');
  it.provider.rotate();
  it.clock.at += MINUTE;
  expect(await it.kind(it.token())).toBe('verified');
  expect(it.asked()).toBe(2);
  expect(await it.kind(old)).toBe('invalid');
});

test('a withdrawn key is noticed without a token of the new one', async () => {
  await using it = await setup();
  const old = it.token();
  expect(await it.kind(old)).toBe('verified');
  it.provider.rotate();
  it.clock.at += 11 * MINUTE;
  // The first asks in the background; once that is answered, the key is gone.
  await it.kind(old);
  await expect.poll(it.asked, { timeout: 30_000 }).toBe(2);
  // One answer may get lost; it is asked again half a minute later. The token itself is good for longer than all of that.
  const later = () => {
    it.clock.at += MINUTE / 2;
    return it.kind(old);
  };
  await expect.poll(later, { timeout: 25_000, interval: 1_000 }).toBe('invalid');
});

test('a provider that is away is done without for a day, and no longer', async () => {
  await using it = await setup();
  const token = it.token();
  expect(await it.kind(token)).toBe('verified');
  it.provider.keysAnswer = { status: 503, body: '' };
  for (const minutes of [11, 60, 600]) {
    it.clock.at += minutes * MINUTE;
    expect(await it.kind(token)).toBe('verified');
  }
  it.clock.at += 24 * 60 * MINUTE;
  expect(await it.kind(token)).toBe('unavailable');
  it.provider.keysAnswer = undefined;
  it.clock.at += MINUTE;
  await expect.poll(() => it.kind(token), { timeout: 30_000 }).toBe('verified');
});

test('what was found out of a token is forgotten when it ends', async () => {
  await using it = await setup();
  const exp = Math.floor(it.clock.at / 1000) + 10;
  const token = it.provider.token({ aud: 'here', exp });
  expect(await it.kind(token)).toBe('verified');
  it.clock.at += 75_000;
  expect(await it.kind(token)).toBe('invalid');
});
