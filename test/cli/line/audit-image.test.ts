import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { imageTarget } from '../../../cli/line/audit-image.ts';
import { type Descriptor, type LayoutStore, openLayout } from '../../../registry/index.ts';
import { attest, cyclonedx, DEFAULT_VETTING, generateKey, keySigner, PREDICATES } from '../../../trust/index.ts';
import { audit, packagesOf } from '../../../vetting/index.ts';
import { auditableImage } from '../../trust/auditable.ts';
import { MATERIALS } from '../../trust/materials.ts';
import { SERVER } from '../../trust/predicates.ts';

const now = new Date('2026-11-01T00:00:00Z');
const signer = keySigner(generateKey());

let folder: string;
let store: LayoutStore;
let index: Descriptor;
let platform: Descriptor;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'audit-image-'));
  store = await openLayout(folder);
  ({ index, platform } = await auditableImage(store));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const say = (on: Descriptor, type: string, value: unknown) => attest(store, on, type, value, signer, now);
const bom = () => cyclonedx(MATERIALS, platform.digest);

describe('an image as something to audit', () => {
  it('is every file that its bill of materials names, by hash, and each Debian package by its source', async () => {
    await say(index, PREDICATES.server, SERVER);
    await say(platform, PREDICATES.cyclonedx, bom());
    const { folder: read, tools } = await imageTarget(store, index, 'memory');
    expect(tools).toBeUndefined();
    expect(read.lock).toMatchObject({ name: 'server-memory', source: SERVER.source, created: SERVER.created });
    const packages = packagesOf(read.lock, read.files, new Map());
    expect(packages.map(({ ref }) => ref)).toEqual(
      expect.arrayContaining(['npm:@example/server-memory@1.2.3', 'npm:zod@4.1.0', 'npm:@scope/dual@1.0.0-rc.1']),
    );
    const files = packages.flatMap((each) => each.files);
    const zod = MATERIALS.files.find(({ name }) => name === 'zod');
    expect(files.find(({ name }) => name === 'zod')?.integrity).toBe(zod?.integrity);
    expect(files.find(({ name }) => name === 'libc6')?.file).toMatch(/^pool\/main\/g\/glibc\//);
    // What is known against one of them is found; what was not read is no pass.
    const found = audit({
      lock: read.lock,
      native: read.files,
      contents: new Map(),
      advisories: {
        from: 'test',
        unread: 0,
        collected: new Map([['npm', now]]),
        matching: ({ name }) =>
          name === 'zod'
            ? [
                {
                  id: 'MAL-2026-1',
                  aliases: [],
                  summary: 'bad',
                  severity: 'critical',
                  score: 10,
                  rated: true,
                  malware: true,
                },
              ]
            : [],
      },
      rules: DEFAULT_VETTING,
      now,
    }).map(({ code, subject }) => `${code} ${subject}`);
    expect(found).toEqual(expect.arrayContaining(['malware npm:zod@4.1.0', 'unreadable npm:zod@4.1.0']));
  });

  it('is none where it doesn’t say what is in it, or only of another platform', async () => {
    const silent = { code: 'attestation-missing', exit: 4 };
    await expect(imageTarget(store, index, 'memory')).rejects.toMatchObject(silent);
    await say(index, PREDICATES.server, SERVER);
    await expect(imageTarget(store, index, 'memory')).rejects.toMatchObject(silent);
    // On the index it is about no platform.
    await say(index, PREDICATES.cyclonedx, bom());
    await expect(imageTarget(store, index, 'memory')).rejects.toMatchObject(silent);
  });

  it.each([
    ['without components', { components: [] }],
    ['of another form', { bomFormat: 'SPDX' }],
    ['with a component that has no hash', { components: [{ purl: 'pkg:npm/x@1', version: '1', properties: [] }] }],
    ['with components that are none', { components: ['x'] }],
  ])('is none with a bill of materials %s', async (_, change) => {
    await say(index, PREDICATES.server, SERVER);
    await say(platform, PREDICATES.cyclonedx, { ...bom(), ...change });
    await expect(imageTarget(store, index, 'memory')).rejects.toMatchObject({ code: 'sbom-invalid', exit: 4 });
  });
});
