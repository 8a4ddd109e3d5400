import { describe, expect, test } from 'vitest';
import type { NpmArtifact } from '../../../builders/index.ts';
import { fetchTarball, stageTarball } from '../../../builders/npm/fetch.ts';
import { npm } from '../../../builders/npm/index.ts';
import type { Fault, RegistryOptions } from '../../fakes/npm-registry.ts';
import { type World, world } from './world.ts';

const BIG = {
  name: 'big',
  version: '1.0.0',
  files: { 'noise.txt': Array.from({ length: 60_000 }, (_, i) => (i * 7919) % 9973).join(' ') },
};

async function withBig(options: RegistryOptions = {}): Promise<World> {
  const w = await world(options);
  w.registry.publish(BIG);
  return w;
}

function artifact(w: World, more: Partial<NpmArtifact> = {}): NpmArtifact {
  return {
    kind: 'npm',
    name: 'big',
    version: '1.0.0',
    file: 'big-1.0.0.tgz',
    integrity: w.registry.integrity('big', '1.0.0') as NpmArtifact['integrity'],
    index: 'default',
    locations: ['node_modules/big'],
    ...more,
  };
}

async function sizeOf(chunks: AsyncIterable<Uint8Array>): Promise<number> {
  let size = 0;
  for await (const chunk of chunks) size += chunk.length;
  return size;
}

async function hashOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const { createHash } = await import('node:crypto');
  const hash = createHash('sha512');
  for await (const chunk of chunks) hash.update(chunk);
  return `sha512-${hash.digest('base64')}`;
}

describe('a locked tarball', () => {
  test('comes from its conventional path, in one request', async () => {
    await using w = await withBig();
    expect(await hashOf(npm.fetch(artifact(w), w.options))).toBe(w.registry.integrity('big', '1.0.0'));
    expect(w.registry.asked.map(({ path }) => path)).toEqual(['/big/-/big-1.0.0.tgz']);
  });

  test('comes from where its document says, when it isn’t there', async () => {
    await using w = await withBig({ unconventional: true });
    expect(await hashOf(npm.fetch(artifact(w), w.options))).toBe(w.registry.integrity('big', '1.0.0'));
    expect(w.registry.asked.map(({ path }) => path)).toEqual([
      '/big/-/big-1.0.0.tgz',
      '/big',
      '/elsewhere/big-1.0.0.tgz',
    ]);
  });

  test.each<[string, Fault]>([
    ['a connection that breaks', { kind: 'cut', after: 3_000 }],
    ['a connection that falls silent', { kind: 'stall', after: 3_000 }],
    ['an overloaded server', { kind: 'status', status: 503 }],
  ])('%s is asked again, and continues where it was', async (_what, fault) => {
    await using w = await withBig({ fault: (_asked, count) => (count === 1 ? fault : undefined) });
    expect(await hashOf(npm.fetch(artifact(w), w.options))).toBe(w.registry.integrity('big', '1.0.0'));
    const [, again] = w.registry.asked;
    expect(again?.range !== undefined).toBe(fault.kind !== 'status');
  });

  test('a server without ranges starts over, and no byte comes twice', async () => {
    let count = 0;
    await using w = await world({
      fault: (asked) => {
        // The range is taken out before the registry answers: a server that doesn't know them.
        (asked as { range?: string | undefined }).range = undefined;
        return ++count === 1 ? { kind: 'cut', after: 3_000 } : undefined;
      },
    });
    w.registry.publish(BIG);
    expect(await hashOf(npm.fetch(artifact(w), w.options))).toBe(w.registry.integrity('big', '1.0.0'));
  });

  test.each<[string, Fault]>([
    ['404', { kind: 'status', status: 404 }],
    ['403', { kind: 'status', status: 403 }],
    ['500', { kind: 'status', status: 500 }],
    ['cuts', { kind: 'cut', after: 100 }],
    ['silences', { kind: 'stall', after: 100 }],
  ])('only %s are an error', async (_what, fault) => {
    await using w = await withBig({ fault: ({ path }) => (path.endsWith('.tgz') ? fault : undefined) });
    await expect(sizeOf(npm.fetch(artifact(w), w.options))).rejects.toMatchObject({
      code: 'artifact-unavailable',
      exit: 5,
    });
  });

  test('a version the registry doesn’t have', async () => {
    await using w = await withBig();
    await expect(
      sizeOf(npm.fetch(artifact(w, { version: '2.0.0', file: 'big-2.0.0.tgz' }), w.options)),
    ).rejects.toMatchObject({ code: 'artifact-unavailable' });
    await expect(sizeOf(npm.fetch(artifact(w, { name: 'gone' }), w.options))).rejects.toMatchObject({
      code: 'artifact-unavailable',
    });
  });

  test('a name from an edited lock goes into no URL', async () => {
    await using w = await withBig();
    for (const name of ['../big', 'a/../../b', 'big?x=', '@a/b/c', 'big#', '%2e%2e/x']) {
      await expect(sizeOf(npm.fetch(artifact(w, { name }), w.options))).rejects.toMatchObject({ code: 'name-unsafe' });
    }
    await expect(sizeOf(npm.fetch(artifact(w, { version: '1.0.0/../../x' }), w.options))).rejects.toMatchObject({
      code: 'name-unsafe',
    });
    expect(w.registry.asked).toEqual([]);
  });
});

describe('credentials', () => {
  test('go to the registry and not to another host that it names', async () => {
    await using cdn = await withBig();
    await using w = await withBig({
      token: 's3cret',
      unconventional: true,
      tarballs: (_release, file) => `${cdn.registry.url}elsewhere/${file}`,
    });
    const options = await w.configured(
      `registry=${w.registry.url}\n//${new URL(w.registry.url).host}/:_authToken=s3cret\n`,
    );
    expect(await hashOf(npm.fetch(artifact(w), options))).toBe(w.registry.integrity('big', '1.0.0'));
    expect(w.registry.asked.every(({ authorization }) => authorization === 'Bearer s3cret')).toBe(true);
    expect(cdn.registry.asked.map(({ authorization }) => authorization)).toEqual([undefined]);
  });

  test('don’t follow a redirect, not even to another port of the host', async () => {
    await using cdn = await withBig();
    await using w = await withBig({
      token: 's3cret',
      fault: ({ path }) =>
        path.endsWith('.tgz') ? { kind: 'redirect', to: `${cdn.registry.url}big/-/big-1.0.0.tgz` } : undefined,
    });
    const options = await w.configured(
      `registry=${w.registry.url}\n//${new URL(w.registry.url).host}/:_authToken=s3cret\n`,
    );
    expect(await hashOf(npm.fetch(artifact(w), options))).toBe(w.registry.integrity('big', '1.0.0'));
    expect(cdn.registry.asked.map(({ authorization }) => authorization)).toEqual([undefined]);
  });
});

describe('a staged tarball', () => {
  test('is given to the next fetch without a request, and is gone after it', async () => {
    await using w = await withBig();
    await stageTarball(artifact(w), w.options);
    await stageTarball(artifact(w), w.options);
    expect(w.registry.asked).toHaveLength(1);
    expect(await hashOf(fetchTarball(artifact(w), w.options))).toBe(w.registry.integrity('big', '1.0.0'));
    expect(w.registry.asked).toHaveLength(1);
    await sizeOf(fetchTarball(artifact(w), w.options));
    expect(w.registry.asked).toHaveLength(2);
  });

  test('is never other bytes than the locked ones', async () => {
    await using w = await withBig();
    const wrong = artifact(w, { integrity: `sha512-${Buffer.alloc(64).toString('base64')}` });
    await expect(stageTarball(wrong, w.options)).rejects.toMatchObject({ code: 'integrity' });
    const { readdir, writeFile } = await import('node:fs/promises');
    expect(await readdir(`${w.options.cache}/staged`)).toEqual([]);
    const path = await stageTarball(artifact(w), w.options);
    await writeFile(path, 'rotten');
    await stageTarball(artifact(w), w.options);
    expect(await hashOf(fetchTarball(artifact(w), w.options))).toBe(w.registry.integrity('big', '1.0.0'));
  });
});
