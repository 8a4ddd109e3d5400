import { describe, expect, test } from 'vitest';
import { sha256 } from '../../digest/index.ts';
import {
  cyclonedx,
  nameOf,
  provenancePredicate,
  purlOf,
  readServer,
  readVulns,
  type Severity,
  spdx,
  summaryPredicate,
  vulnsPredicate,
} from '../../trust/index.ts';
import { MATERIALS } from './materials.ts';
import { BUILD, SERVER } from './predicates.ts';

const image = sha256('image');

describe('package URLs', () => {
  test('are those of the purl specification', () => {
    expect(MATERIALS.files.map(purlOf)).toEqual([
      'pkg:npm/%40example/server-memory@1.2.3',
      'pkg:npm/zod@4.1.0',
      'pkg:npm/zod@4.1.0',
      'pkg:npm/%40scope/dual@1.0.0-rc.1',
      'pkg:npm/prose@4.1.0',
      'pkg:pypi/pydantic-core@2.1',
      'pkg:deb/debian/libc6@2.41-12%2Bdeb13u1?arch=amd64',
      `pkg:oci/company-base@sha256%3A${sha256('base').slice(7)}`,
      'pkg:generic/uv@0.13.1',
    ]);
  });
});

describe('provenance', () => {
  const predicate = JSON.parse(JSON.stringify(provenancePredicate(BUILD)));

  test('names every file with its hash, once, and nothing of where it came from', () => {
    const resolved = predicate.buildDefinition.resolvedDependencies as {
      uri: string;
      digest: Record<string, string>;
    }[];
    expect(resolved).toHaveLength(new Set(MATERIALS.files.map(nameOf)).size);
    expect(resolved.every(({ digest }) => /^(sha256|sha512)$/.test(Object.keys(digest)[0] ?? ''))).toBe(true);
    expect(JSON.stringify(predicate)).not.toMatch(/https?:/);
  });

  test('has the fields of SLSA v1', () => {
    expect(predicate).toMatchObject({
      buildDefinition: {
        buildType: 'urn:mcp-build:build:v1',
        externalParameters: { source: { ecosystem: 'npm', name: '@example/server-memory', range: '^1' } },
        internalParameters: { version: '1.2.3', transforms: { server: 'npm/1' } },
      },
      runDetails: {
        builder: { id: 'urn:mcp-build:builder:local', version: { 'mcp-build': '0.1.0' } },
        metadata: { startedOn: '2026-08-31T10:00:00.000Z', finishedOn: '2026-08-31T10:00:05.000Z' },
        byproducts: [{ name: 'image.lock.json', digest: { sha256: sha256('lock').slice(7) } }],
      },
    });
  });
});

describe('SBOMs', () => {
  type Component = {
    'bom-ref': string;
    name: string;
    group?: string;
    licenses?: unknown[];
    hashes: { alg: string; content: string }[];
  };
  const bom = JSON.parse(JSON.stringify(cyclonedx(MATERIALS, image)));
  const components = bom.components as Component[];

  test('in CycloneDX have each package once, with hashes and licences', () => {
    const refs = components.map((one) => one['bom-ref']);
    expect(new Set(refs).size).toBe(refs.length);
    expect(components.map(({ name }) => name)).toEqual([
      'libc6',
      'server-memory',
      'dual',
      'prose',
      'zod',
      'company-base',
      'Pydantic_Core',
    ]);
    const named = (name: string) => components.find((one) => one.name === name);
    expect(named('zod')).toMatchObject({
      licenses: [{ expression: 'MIT' }],
      hashes: [{ alg: 'SHA-512', content: expect.stringMatching(/^[0-9a-f]{128}$/) }],
    });
    expect(named('dual')).toMatchObject({ group: '@scope', licenses: [{ expression: '(MIT OR Apache-2.0)' }] });
    expect(named('prose')?.licenses).toEqual([{ license: { name: 'SEE LICENSE IN LICENSE.md' } }]);
    expect(named('libc6')).toMatchObject({ hashes: [{ alg: 'SHA-256' }] });
  });

  test('in CycloneDX have a graph without loose ends', () => {
    const known = new Set([bom.metadata.component['bom-ref'], ...components.map((one) => one['bom-ref'])]);
    for (const { ref, dependsOn } of bom.dependencies as { ref: string; dependsOn: string[] }[]) {
      expect(known.has(ref)).toBe(true);
      for (const on of dependsOn) expect(known.has(on)).toBe(true);
    }
    const server = bom.dependencies.find(({ ref }: { ref: string }) => ref.includes('server-memory@1.2.3'));
    expect(server.dependsOn).toHaveLength(2);
  });

  test('are the same bytes for the same image, and others for another', () => {
    for (const make of [cyclonedx, spdx]) {
      const text = JSON.stringify(make(MATERIALS, image));
      expect(JSON.stringify(make({ ...MATERIALS, files: MATERIALS.files.toReversed() }, image))).toBe(text);
      expect(JSON.stringify(make(MATERIALS, sha256('other')))).not.toBe(text);
      expect(text).not.toMatch(/https?:/);
    }
    expect(bom.serialNumber).toMatch(/^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  test('in SPDX have the same packages', () => {
    const doc = JSON.parse(JSON.stringify(spdx(MATERIALS, image)));
    expect(doc).toMatchObject({ spdxVersion: 'SPDX-2.3', documentDescribes: ['SPDXRef-Image'] });
    expect(doc.packages).toHaveLength(components.length + 1);
    const ids = new Set(doc.packages.map(({ SPDXID }: { SPDXID: string }) => SPDXID).concat('SPDXRef-DOCUMENT'));
    for (const { spdxElementId, relatedSpdxElement } of doc.relationships) {
      expect(ids.has(spdxElementId) && ids.has(relatedSpdxElement)).toBe(true);
    }
    expect(
      doc.relationships.filter(
        ({ relationshipType }: { relationshipType: string }) => relationshipType === 'DEPENDS_ON',
      ),
    ).toHaveLength(2);
  });
});

describe('scans', () => {
  test('say what they found, and are read back', () => {
    const found = [
      { id: 'GHSA-1', severity: 'high' as const, purl: 'pkg:npm/zod@4.1.0' },
      { id: 'GHSA-2', severity: 'none' as const },
    ];
    const finished = new Date('2026-09-01T00:00:00Z');
    const scan = { scanner: { uri: 'urn:mcp-build', version: '0.1.0' }, started: finished, finished, found };
    expect(readVulns(JSON.parse(JSON.stringify(vulnsPredicate(scan))))).toEqual({ finished, found });
  });

  test.each([[{ purl: 'pkg:npm/a@1' }], ['text'], [[{ purl: 1 }]], [[{ purl: 'pkg:npm/a\u001b[2J@1' }]], [[null]]])(
    'of others may have notes of any form: %j names no package',
    (annotations) => {
      const time = '2026-09-01T00:00:00Z';
      const predicate = {
        scanner: { uri: 'x', result: [{ id: 'a', severity: [{ method: 'x', score: 'low' }], annotations }] },
        metadata: { scanStartedOn: time, scanFinishedOn: time },
      };
      expect(readVulns(predicate)?.found).toEqual([{ id: 'a', severity: 'low' }]);
    },
  );

  test.each<[unknown[], Severity]>([
    [[{ method: 'nvd', score: 'MODERATE' }], 'medium'],
    [
      [
        { method: 'cvss_score', score: '5.2' },
        { method: 'nvd', score: 'low' },
      ],
      'medium',
    ],
    [[{ method: 'cvss_score', score: 9 }], 'critical'],
    [[{ method: 'cvss_score', score: 0 }], 'none'],
    [[{ method: 'x', score: 'whatever' }], 'critical'],
    [[{ method: 'x', score: '11' }], 'critical'],
    [[], 'critical'],
  ])('of others are read: %j is %s', (severity, expected) => {
    const time = '2026-09-01T00:00:00Z';
    const predicate = {
      scanner: { uri: 'x', result: [{ id: 'a', severity }] },
      metadata: { scanStartedOn: time, scanFinishedOn: time },
    };
    expect(readVulns(predicate)?.found).toEqual([{ id: 'a', severity: expected }]);
  });

  test('of another form are none', () => {
    expect(readVulns({})).toBeUndefined();
    expect(readVulns(null)).toBeUndefined();
  });
});

test('a verification summary says what was verified, by what policy', () => {
  const summary = summaryPredicate({
    verdict: { subject: image, verdict: 'pass', checks: [] },
    resource: `registry.example.test/a@${image}`,
    policy: { name: 'policy.yaml', digest: sha256('policy') },
    inputs: [sha256('a')],
    verified: new Date('2026-09-01T00:00:00Z'),
    verifier: '0.1.0',
  });
  expect(summary).toMatchObject({
    verificationResult: 'PASSED',
    timeVerified: '2026-09-01T00:00:00.000Z',
    policy: { uri: 'policy.yaml' },
  });
  expect(JSON.stringify(summary)).not.toContain('SLSA_');
});

describe('a server predicate', () => {
  test('is read, and what newer writers add is passed over', () => {
    expect(readServer(JSON.parse(JSON.stringify({ ...SERVER, later: true })))).toEqual(SERVER);
  });

  test.each([
    ['without permissions', { permissions: undefined }],
    ['with a digest that is none', { lock: 'sha256:x' }],
    ['with another ecosystem', { source: { ecosystem: 'cargo', name: 'x', version: '1' } }],
    [
      'with an unknown mode',
      { permissions: { network: 'none', volumes: [{ path: '/', mode: 'rwx' }], environment: [] } },
    ],
    ['with a network of its own', { permissions: { network: 'host', volumes: [], environment: [] } }],
  ])('%s is none', (_, changes) => {
    expect(readServer({ ...SERVER, ...changes })).toBeUndefined();
  });
});
