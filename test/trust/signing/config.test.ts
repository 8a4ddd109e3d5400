import { describe, expect, test } from 'vitest';
import { parseSigningConfig } from '../../../trust/index.ts';

const NOW = new Date('2026-11-22T12:00:00Z');
const since = (start: string, end?: string) => ({ validFor: { start, ...(end ? { end } : {}) } });
const service = (url: string, majorApiVersion: number, operator: string, valid = since('2026-01-01T00:00:00Z')) => ({
  url,
  majorApiVersion,
  operator,
  ...valid,
});

const GOOD = {
  mediaType: 'application/vnd.dev.sigstore.signingconfig.v0.2+json',
  caUrls: [
    service('https://old-ca.example.test', 1, 'a', since('2020-01-01T00:00:00Z', '2021-01-01T00:00:00Z')),
    service('https://ca.example.test/', 1, 'a'),
    service('https://future-ca.example.test', 1, 'a', since('2027-01-01T00:00:00Z')),
  ],
  rekorTlogUrls: [
    service('https://log1.example.test', 1, 'a'),
    service('https://log2.example.test', 2, 'a'),
    service('https://log2-other.example.test', 2, 'b'),
    service('https://log3.example.test', 3, 'c'),
  ],
  rekorTlogConfig: { selector: 'ANY' },
  tsaUrls: [
    service('https://tsa.example.test/api/v1/timestamp', 1, 'a'),
    service('https://tsa-b.example.test/api/v1/timestamp', 1, 'b'),
  ],
  tsaConfig: { selector: 'EXACT', count: 2 },
};
const parse = (value: unknown) => parseSigningConfig(JSON.stringify(value), 'sc.json', NOW);

describe('a signing configuration', () => {
  test('gives the services that are valid now, of the newest version we speak', () => {
    expect(parse(GOOD)).toEqual({
      certificateAuthority: 'https://ca.example.test',
      logs: [{ url: 'https://log2.example.test', version: 2 }],
      timestampAuthorities: [
        { url: 'https://tsa.example.test/api/v1/timestamp', version: 1 },
        { url: 'https://tsa-b.example.test/api/v1/timestamp', version: 1 },
      ],
    });
  });

  test('with ALL gives one of each operator', () => {
    const { logs } = parse({ ...GOOD, rekorTlogConfig: { selector: 'ALL' } });
    expect(logs.map(({ url }) => url)).toEqual(['https://log2.example.test', 'https://log2-other.example.test']);
  });

  test('without logs gives none', () => {
    expect(parse({ ...GOOD, rekorTlogConfig: {}, tsaConfig: {} })).toMatchObject({
      logs: [],
      timestampAuthorities: [],
    });
  });

  test.each([
    ['of another version', { ...GOOD, mediaType: 'application/vnd.dev.sigstore.signingconfig.v0.1+json' }],
    ['without an authority that is valid', { ...GOOD, caUrls: GOOD.caUrls.slice(0, 1) }],
    ['that asks for more operators than there are', { ...GOOD, tsaConfig: { selector: 'EXACT', count: 3 } }],
    ['that asks for any of none', { ...GOOD, rekorTlogUrls: [] }],
    ['with a URL that is none', { ...GOOD, caUrls: [service('file:///etc/passwd', 1, 'a')] }],
    ['that is a list', []],
  ])('%s is refused', (_, value) => {
    expect(() => parse(value)).toThrow(expect.objectContaining({ code: 'signing-config-invalid', exit: 2 }));
  });

  test('that is not JSON is refused', () => {
    expect(() => parseSigningConfig('{', 'sc.json', NOW)).toThrow(
      expect.objectContaining({ code: 'signing-config-invalid' }),
    );
  });
});
