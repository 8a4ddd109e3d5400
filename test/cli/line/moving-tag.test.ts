import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { homeOf } from '../../../cli/line/home.ts';
import { type Verified, verifiedImage } from '../../../cli/line/start.ts';
import { isFault } from '../../../errors/index.ts';
import { copy, openLayout, openRemote, parseRemoteReference } from '../../../registry/index.ts';
import { generateKey, keySigner, parsePublicKey, publicPem, signImage } from '../../../trust/index.ts';
import { type OciRegistry, startOciRegistry } from '../../fakes/oci-registry.ts';
import { type TestImage, writeImage } from '../../trust/image.ts';

/** A registry that is in a race with whoever verifies: its tag, or the bytes behind a digest, change after any number of requests. */
const key = generateKey();
let folder: string;
let registry: OciRegistry;
let signed: TestImage;
let other: TestImage;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'moving-tag-'));
  registry = await startOciRegistry();
  const layout = await openLayout(join(folder, 'layout'));
  signed = await writeImage(layout, 'signed');
  other = await writeImage(layout, 'another');
  await signImage(layout, signed.index, keySigner(key));
  const remote = openRemote(parseRemoteReference(`${registry.host}/team/server:1`));
  await copy(layout, remote, other.index);
  await copy(layout, remote, signed.index, { tags: ['1'] });
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

let turn = 0;
async function attempt(reference: string): Promise<Verified | string> {
  turn += 1;
  const environment = { MCP_BUILD_HOME: join(folder, `home${turn}`), HOME: folder };
  try {
    return await verifiedImage(reference, {
      home: homeOf(environment),
      environment,
      keys: [{ name: 'k', key: parsePublicKey(publicPem(key), 'k') }],
      progress: () => undefined,
      say: () => undefined,
    });
  } catch (error) {
    if (isFault(error)) return error.code;
    throw error;
  }
}

/** Runs an attempt during which `change` happens before the request of that number, and what it did is undone. */
async function racing(after: number, change: () => () => void): Promise<Verified | string> {
  let count = 0;
  let undo: () => void = () => undefined;
  registry.faults.push(() => {
    if (count === after) undo = change();
    count += 1;
    return false;
  });
  try {
    return await attempt(`${registry.host}/team/server:1`);
  } finally {
    registry.faults.length = 0;
    undo();
  }
}

const moved = () => {
  const { tags } = registry.repository('team/server');
  tags.set('1', other.index.digest);
  return () => void tags.set('1', signed.index.digest);
};

test('without a race the signed one is what starts', async () => {
  expect(await attempt(`${registry.host}/team/server:1`)).toMatchObject({ image: { digest: signed.index.digest } });
});

test('a tag that moves at any moment: the verified digest, or nothing, and never the other', async () => {
  const results: string[] = [];
  for (let after = 0; after < 16; after += 1) {
    const result = await racing(after, moved);
    results.push(typeof result === 'string' ? result : result.image.digest);
  }
  expect(new Set(results)).toEqual(new Set(['unsigned', signed.index.digest]));
});

test('a manifest that is another behind the same digest, at any moment: the verified bytes, or nothing', async () => {
  const { manifests } = registry.repository('team/server');
  const swapped = () => {
    const right = manifests.get(signed.index.digest)!;
    manifests.set(signed.index.digest, manifests.get(other.index.digest)!);
    return () => void manifests.set(signed.index.digest, right);
  };
  for (let after = 0; after < 16; after += 1) {
    const result = await racing(after, swapped);
    if (typeof result === 'string') expect(result).toMatch(/^(integrity|content-mismatch|unsigned|digest-mismatch)$/);
    else expect(result.image.digest).toBe(signed.index.digest);
  }
});

test('a layer that is replaced after signing: nothing starts', async () => {
  const { blobs } = registry.repository('team/server');
  for (const { digest } of [...signed.layers, ...signed.configs]) {
    const right = blobs.get(digest)!;
    blobs.set(digest, Buffer.from(right).fill(0, 0, 1));
    expect(await attempt(`${registry.host}/team/server:1`)).toMatch(/^(integrity|content-mismatch)$/);
    blobs.set(digest, right);
  }
});
