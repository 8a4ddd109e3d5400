import { expect, it } from 'vitest';
import type { Artifact } from '../../../builders/index.ts';
import { serverPredicate } from '../../../cli/line/attest.ts';
import { NO_PERMISSIONS } from '../../../runner/index.ts';
import { lock } from '../../builders/sample-lock.ts';

const [, server] = lock.platforms['linux/amd64']!.layers;
const newest = (files: readonly Partial<Artifact>[]) => {
  const made = files.map((file) => ({ ...server!.files[0]!, ...file }) as Artifact);
  const layers = [{ ...server!, files: made }];
  return serverPredicate(
    { ...lock, platforms: { 'linux/amd64': { layers } } },
    { permissions: NO_PERMISSIONS, offer: undefined },
  ).newest;
};

it('says when an index received the newest file, where every index does', () => {
  const [before, after] = ['2026-01-01T00:00:00.000Z', '2026-02-01T00:00:00.000Z'];
  expect(newest([{ uploaded: after }, { uploaded: before }])).toBe(after);
  expect(newest([{ uploaded: after }, {}])).toBeUndefined();
  // What no index has was never released there.
  expect(newest([{ uploaded: before }, { index: 'file:' }])).toBe(before);
  expect(newest([{ index: 'file:' }])).toBe('1970-01-01T00:00:00.000Z');
});
