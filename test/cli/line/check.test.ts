import { expect, test } from 'vitest';
import {
  type Artifact,
  LOCAL_INDEX,
  type Lock,
  type NpmArtifact,
  type WheelArtifact,
} from '../../../builders/index.ts';
import { checkLock } from '../../../cli/line/check.ts';
import { homeOf } from '../../../cli/line/home.ts';
import { integrityFromHex } from '../../../digest/index.ts';
import { world } from '../../builders/npm/world.ts';
import { wheel } from '../../builders/pypi/wheel.ts';
import { lock as sample } from '../../builders/sample-lock.ts';
import { type FakeIndex, pypiIndex } from '../../fakes/pypi-index.ts';

/** What a pull request that swaps a file and its hash together puts there: consistent in itself. */
const SWAPPED = integrityFromHex('sha256', 'ee'.repeat(32));

function lockOf(...files: readonly Artifact[]): Lock {
  const layer = { name: 'server', transform: 'npm/1', files } as const;
  return {
    ...sample,
    base: { kind: 'image', reference: 'registry.example.test/base', digest: `sha256:${'0'.repeat(64)}` },
    platforms: { 'linux/amd64': { layers: [layer] }, 'linux/arm64': { layers: [layer] } },
  };
}

function checked(
  files: readonly Artifact[],
  folder: string,
  environment: Readonly<Record<string, string | undefined>>,
) {
  return checkLock(lockOf(...files), {
    home: homeOf({ ...environment, MCP_BUILD_HOME: folder }),
    environment,
    workspace: folder,
  });
}

test('an npm package is held against what its registry lists today', async () => {
  await using w = await world();
  w.registry.publish({ name: 'dep', version: '1.0.0' });
  const dep: NpmArtifact = {
    ...{ kind: 'npm', name: 'dep', version: '1.0.0', file: 'dep-1.0.0.tgz', index: 'default', locations: [] },
    integrity: w.registry.integrity('dep', '1.0.0') as NpmArtifact['integrity'],
  };
  const say = (...files: readonly Artifact[]) => checked(files, w.folder, w.options.environment);
  expect(await say(dep)).toEqual([]);
  // Once, though both platforms have it.
  expect(await say({ ...dep, integrity: SWAPPED })).toEqual([
    { file: 'dep 1.0.0 (dep-1.0.0.tgz)', status: 'mismatch', detail: expect.stringContaining(SWAPPED) },
  ]);
  expect(await say({ ...dep, version: '1.0.1' })).toMatchObject([{ status: 'gone' }]);
  expect(await say({ ...dep, name: 'nobody-has-this' })).toMatchObject([{ status: 'gone' }]);
});

test('a registry that is down is no confirmation', async () => {
  await using w = await world({ fault: () => ({ kind: 'status', status: 503 }) });
  const dep: NpmArtifact = {
    ...{ kind: 'npm', name: 'dep', version: '1.0.0', file: 'dep-1.0.0.tgz', index: 'default', locations: [] },
    integrity: SWAPPED,
  };
  await expect(checked([dep], w.folder, w.options.environment)).rejects.toMatchObject({ code: 'registry-unavailable' });
});

test('a wheel is held against the page of its index', async () => {
  await using w = await world();
  const index: FakeIndex = await pypiIndex();
  try {
    const made = wheel({ name: 'dep', version: '1.0', files: { 'dep.py': '' } });
    index.add('dep', made);
    const dep: WheelArtifact = {
      ...{ kind: 'wheel', name: 'dep', version: '1.0', file: made.file, index: 'default', size: made.bytes.length },
      integrity: integrityFromHex('sha256', made.sha256),
    };
    const environment = { ...w.options.environment, UV_DEFAULT_INDEX: index.url, PIP_CONFIG_FILE: '/dev/null' };
    const say = (...files: readonly Artifact[]) => checked(files, w.folder, environment);
    expect(await say(dep)).toEqual([]);
    expect(await say({ ...dep, integrity: SWAPPED })).toMatchObject([{ status: 'mismatch' }]);
    // A file that was added under the name of a known release.
    expect(await say({ ...dep, file: 'dep-1.0-1-py3-none-any.whl' })).toMatchObject([{ status: 'gone' }]);
  } finally {
    await index.close();
  }
});

test('a local file is said to be one that nobody can confirm', async () => {
  await using w = await world();
  const own: NpmArtifact = {
    ...{ kind: 'npm', name: 'own', version: '1.0.0', file: 'own.tgz', index: LOCAL_INDEX, locations: [] },
    integrity: SWAPPED,
  };
  expect(await checked([own], w.folder, w.options.environment)).toMatchObject([{ status: 'unconfirmed' }]);
  expect(w.registry.asked).toEqual([]);
});
