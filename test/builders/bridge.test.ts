import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  BRIDGE_ENTRYPOINT,
  bakeBridge,
  bridgeArtifact,
  bridgeLayer,
  fetchBridge,
} from '../../builders/bridge/index.ts';
import { imagesFolder } from '../../builders/debian/index.ts';
import { formatLock, layerKey, parseLock } from '../../builders/index.ts';
import { sha256 } from '../../digest/index.ts';
import { lock } from './sample-lock.ts';

async function bytesOf(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

async function folderWith(text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bridge-'));
  await mkdir(join(folder, 'bridge'));
  await writeFile(join(folder, 'bridge/bridge.mjs'), text);
  return folder;
}

test('a lock names the bridge by its digest, and the layer holds that one file', async () => {
  const images = await imagesFolder();
  const artifact = await bridgeArtifact(images);
  const layer = bridgeLayer(artifact);
  const entries = await Array.fromAsync(bakeBridge(layer, () => fetchBridge(artifact, images)));
  expect(entries.map(({ path, type }) => [path, type])).toEqual([[BRIDGE_ENTRYPOINT[1].slice(1), 'file']]);
  const [file] = entries;
  if (file?.type !== 'file') throw new Error('no file');
  const bytes = await bytesOf(file.content as AsyncIterable<Uint8Array>);
  expect(bytes.length).toBe(file.size);
  expect(sha256(bytes).slice(7, 19)).toBe(artifact.version);
});

test('a lock with a bridge is read as it was written', async () => {
  const layers = [
    ...(lock.platforms['linux/amd64']?.layers ?? []),
    bridgeLayer(await bridgeArtifact(await imagesFolder())),
  ];
  const with_ = { ...lock, transport: 'http' as const, platforms: { 'linux/amd64': { layers } } };
  expect(parseLock(formatLock(with_), 'lock')).toEqual(with_);
});

test('another bridge is another layer, and never takes the place of the locked one', async () => {
  const folder = await folderWith('console.log("another")\n');
  try {
    const own = await bridgeArtifact(await imagesFolder());
    const other = await bridgeArtifact(folder);
    const key = (artifact: typeof own) => layerKey(bridgeLayer(artifact), 'linux/amd64', []);
    expect(key(own)).not.toBe(key(other));
    await expect(bytesOf(fetchBridge(own, folder))).rejects.toMatchObject({ code: 'bridge-unavailable' });
    await expect(bridgeArtifact(join(folder, 'nowhere'))).rejects.toMatchObject({ code: 'images-missing' });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
