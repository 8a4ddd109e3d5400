import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatReference,
  parseReference,
  parseRemoteReference,
  type Reference,
  targetOf,
} from '../../registry/index.ts';

const DIGEST = `sha256:${'ab'.repeat(32)}` as const;

const invalid = [
  '',
  'team/server',
  'server:',
  'npm:server-memory',
  'Server',
  'registry.example/',
  'registry.example/Team/server',
  'registry.example/team/server:',
  'registry.example/team/server:a b',
  'registry.example/team/server:..',
  'registry.example/team//server',
  'registry.example/../server',
  'registry.example:99999/server',
  'registry.example:0/server',
  '-registry.example/server',
  'user:pass@registry.example/server',
  'https://registry.example/server',
  `registry.example/server@sha256:${'ab'.repeat(31)}`,
  `registry.example/server@SHA256:${'ab'.repeat(32)}`,
  `registry.example/server@sha512:${'ab'.repeat(64)}`,
  `registry.example/server:1@${DIGEST}@${DIGEST}`,
  `oci:folder@sha256:${'ab'.repeat(31)}`,
  '/srv/image.tar',
  './image.tar',
  '~/image.tar',
  'oci:',
  'oci::tag',
  'oci:folder:',
  'oci:folder:a:',
  'oci:fol\nder',
  'oci:fol\0der',
  `name@sha256:${'AB'.repeat(32)}`,
  `registry.example/${'a'.repeat(5000)}`,
];

describe('parseReference', () => {
  it.each(invalid)('refuses %j', (text) => {
    expect(() => parseReference(text)).toThrow(expect.objectContaining({ code: 'reference-invalid', exit: 2 }));
  });

  it('reads the three forms', () => {
    expect(parseReference('registry.example:5000/team/server:1.2-abc')).toEqual({
      kind: 'remote',
      registry: 'registry.example:5000',
      repository: 'team/server',
      tag: '1.2-abc',
    });
    expect(parseReference('Registry.Example/server')).toMatchObject({ registry: 'registry.example' });
    expect(parseReference('localhost/server')).toMatchObject({ registry: 'localhost', repository: 'server' });
    expect(parseReference(`[::1]:5000/server@${DIGEST}`)).toMatchObject({ registry: '[::1]:5000', digest: DIGEST });
    expect(parseReference('oci:/tmp/a@b/c:server-everything:2026.8.31-0123456789ab')).toEqual({
      kind: 'layout',
      folder: '/tmp/a@b/c',
      tag: 'server-everything:2026.8.31-0123456789ab',
    });
    expect(parseReference('oci:C:\\images:latest')).toEqual({ kind: 'layout', folder: 'C:\\images', tag: 'latest' });
    expect(parseReference(`server-time@${DIGEST}`)).toEqual({ kind: 'local', name: 'server-time', digest: DIGEST });
  });

  it('asks for the digest where there is one', () => {
    expect(targetOf(parseReference(`registry.example/server:1@${DIGEST}`))).toBe(DIGEST);
    expect(targetOf(parseReference('server-time:1'))).toBe('server-time:1');
    expect(targetOf(parseReference('registry.example/server'))).toBeUndefined();
  });

  it('refuses a name where a registry is needed', () => {
    expect(() => parseRemoteReference('server-time')).toThrow(expect.objectContaining({ code: 'reference-invalid' }));
  });

  const word = fc.stringMatching(/^[a-z0-9]{1,8}(?:[.-][a-z0-9]{1,8}){0,2}$/);
  const tag = fc.option(fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,20}$/), { nil: undefined });
  const layoutTag = fc.option(fc.stringMatching(/^[A-Za-z0-9]{1,8}(?:[:+_.-][A-Za-z0-9]{1,8}){0,3}$/), {
    nil: undefined,
  });
  const digest = fc.option(fc.constant(DIGEST), { nil: undefined });
  const present = (value: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as unknown as Reference;
  const reference = fc.oneof(
    fc
      .record({
        kind: fc.constant('remote'),
        registry: fc.tuple(word, fc.integer({ min: 1, max: 65_535 })).map(([host, port]) => `${host}:${port}`),
        repository: fc.array(word, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/')),
        tag,
        digest,
      })
      .map(present),
    fc
      .record({
        kind: fc.constant('layout'),
        folder: fc.stringMatching(/^[A-Za-z0-9./_ -]{1,30}$/),
        tag: layoutTag,
        digest,
      })
      .map(present),
    fc
      .record({
        kind: fc.constant('local'),
        name: word.filter((name) => !/^(?:npm|pypi|oci)$/.test(name)),
        tag,
        digest,
      })
      .map(present),
  );

  it('reads back what it writes', () => {
    fc.assert(
      fc.property(reference, (value) => {
        expect(parseReference(formatReference(value))).toEqual(value);
      }),
    );
  });

  it('accepts only what it writes the same way, but for the case of the host', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-z0-9.:/@_-]{1,60}$/)), (text) => {
        let value: Reference;
        try {
          value = parseReference(text);
        } catch {
          return;
        }
        expect(formatReference(value).toLowerCase()).toBe(text.toLowerCase());
      }),
      { numRuns: 2000 },
    );
  });
});
