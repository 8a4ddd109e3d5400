import { describe, expect, it } from 'vitest';
import type { Lock } from '../../../builders/index.ts';
import { lockDifferences } from '../../../cli/line/entry.ts';
import { parseManifest, type ServerEntry } from '../../../cli/line/manifest/index.ts';
import { lock as sample } from '../../builders/sample-lock.ts';

const entry = (lines = ''): ServerEntry =>
  parseManifest(
    `version: 1\nservers:\n  memory:\n    source: npm:@example/memory\n    platforms: [linux/amd64]\n${lines}`,
    'mcp-build.yaml',
  ).servers[0]!;
const differences = async (lines = '', lock: Partial<Lock> = {}) =>
  (await lockDifferences(entry(lines), { lock: { ...sample, ...lock }, files: {} })).map((one) => one.split(' ')[0]);

describe('a lock', () => {
  it('is what the manifest asks for', async () => {
    expect(await differences()).toEqual([]);
    const range = { ...sample.source, range: '^1' };
    expect(
      await lockDifferences(
        { ...entry(), source: { ecosystem: 'npm', name: '@example/memory', range: '^1' } },
        { lock: { ...sample, source: range }, files: {} },
      ),
    ).toEqual([]);
  });

  it.each([
    ['    bin: other\n', {}, 'bin'],
    ['    system: [git]\n', {}, 'system'],
    [`    base: oci:base@sha256:${'a'.repeat(64)}\n`, {}, 'base'],
    ['    overrides: [{package: a, version: "1", reason: it has to be so}]\n', {}, 'overrides'],
    ['', { overrides: { a: '1' } }, 'overrides'],
    ['', { source: { ...sample.source, range: '^1' } }, 'source'],
    ['', { source: { ...sample.source, name: 'other' } }, 'source'],
    ['', { name: 'other' }, 'name'],
    ['', { platforms: { ...sample.platforms, 'linux/arm64': sample.platforms['linux/amd64']! } }, 'platforms'],
    // Taken without a cut-off: whatever there was.
    ['', { before: null }, 'releaseAge'],
  ])('is outdated by %j and %j', async (lines, lock, what) => {
    expect(await differences(lines, lock)).toEqual([what]);
  });

  it('may have been made without a cut-off where the manifest takes any release', async () => {
    expect(await differences('    releaseAge: 0\n', { before: null })).toEqual([]);
  });
});
