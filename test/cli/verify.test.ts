import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { copy, type LayoutStore, openLayout, openRemote, parseRemoteReference } from '../../registry/index.ts';
import { generateKey, keySigner, publicPem, signImage } from '../../trust/index.ts';
import { root } from '../e2e/harness/tree.ts';
import { type OciRegistry, startOciRegistry } from '../fakes/oci-registry.ts';
import { type TestImage, writeImage } from '../trust/image.ts';

let folder: string;
let registry: OciRegistry;
let image: TestImage;
let layout: LayoutStore;
let reference: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mcp-build-verify-'));
  registry = await startOciRegistry();
  layout = await openLayout(join(folder, 'layout'));
  image = await writeImage(layout);
  const key = generateKey();
  await writeFile(join(folder, 'key.pub'), publicPem(key));
  await signImage(layout, image.index, keySigner(key));
  await layout.tag('1', image.index);
  reference = `${registry.host}/team/server:1`;
  await copy(layout, openRemote(parseRemoteReference(reference)), image.index, { tags: ['1'] });
  registry.seen.length = 0;
});
afterEach(async () => {
  await registry[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

async function verify(...args: string[]): Promise<{ code: number; checks: Record<string, string> }> {
  const env = { ...process.env, MCP_BUILD_HOME: join(folder, 'home') };
  const command = ['cli/main.ts', 'verify', '--json', '--key', join(folder, 'key.pub'), ...args];
  return new Promise((resolve) => {
    execFile(process.execPath, command, { cwd: root, env }, (error, stdout) => {
      const { checks } = JSON.parse(stdout) as { checks: { id: string; status: string }[] };
      resolve({
        code: (error?.code as number | undefined) ?? 0,
        checks: Object.fromEntries(checks.map(({ id, status }) => [id, status])),
      });
    });
  });
}

const layersRead = () =>
  registry.seen.filter(
    ({ method, path }) => method === 'GET' && image.layers.some(({ digest }) => path.includes(digest)),
  );

test('leaves layers in a registry, unless they are asked for', async () => {
  expect(await verify(reference)).toMatchObject({ code: 0, checks: { 'content-mismatch': 'pass' } });
  expect(layersRead()).toHaveLength(0);
  expect(await verify(reference, '--layers')).toMatchObject({ code: 0 });
  expect(layersRead()).toHaveLength(image.layers.length);
});

test('reads every manifest and config of a registry: a changed one is refused', async () => {
  const { blobs } = registry.repository('team/server');
  const { digest } = image.configs[1]!;
  blobs.set(digest, Buffer.from(blobs.get(digest)!.toString().replace('arm64', 'arm65')));
  expect(await verify(reference)).toMatchObject({ code: 3, checks: { 'content-mismatch': 'fail' } });
});

test('hashes the layers of an image on this machine, unless told not to', async () => {
  await writeFile(layout.pathOf(image.layers[0]!.digest), 'rotten');
  const where = `oci:${layout.folder}:1`;
  expect(await verify(where, '--no-layers')).toMatchObject({ code: 0 });
  expect(await verify(where)).toMatchObject({ code: 3, checks: { 'content-mismatch': 'fail' } });
});
