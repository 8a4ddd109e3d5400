import { mkdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { copy, openLayout, openRemote, parseRemoteReference } from '../../registry/index.ts';
import { attest, generateKey, keySigner, PREDICATES, publicPem, signImage } from '../../trust/index.ts';
import { commandPath, describeWith } from '../e2e/harness/needs.ts';
import { type Server, startDockerRegistry } from '../e2e/registry-servers.ts';
import { writeImage } from '../registry/image.ts';
import { published, ratio, report, sideBySide } from './measure.ts';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 10);
/** In bytes, as an image of a Node server has them. */
const LAYERS = [46_000_000, 11_000_000, 4_000_000, 75_000];

let folder: string;
let server: Server | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'verify-bench-'));
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

describeWith(['docker-registry', 'cosign'], 'verify', () => {
  test('a new process each time, five attestations, beside cosign', async () => {
    server = await startDockerRegistry(join(folder, 'registry'));
    const layout = await openLayout(join(folder, 'layout'));
    const image = await writeImage(layout, LAYERS);
    const key = generateKey();
    const publicKey = join(folder, 'key.pub');
    await writeFile(publicKey, publicPem(key));
    await signImage(layout, image, keySigner(key));
    for (const type of [PREDICATES.provenance, PREDICATES.cyclonedx, PREDICATES.vulns, PREDICATES.server])
      await attest(layout, image, type, { text: 'x'.repeat(10_000) }, keySigner(key), new Date(0));
    await layout.tag('image', image);
    const at = `${server.host}/team/server:1`;
    await copy(layout, openRemote(parseRemoteReference(at)), image, { tags: ['1'] });
    const main = published();
    const env = { ...process.env, MCP_BUILD_HOME: join(folder, 'home') };
    mkdirSync(env.MCP_BUILD_HOME);
    const ours = (...args: string[]) => [process.execPath, main, 'verify', '--key', publicKey, ...args];
    const results = await sideBySide(
      [
        { name: 'registry', command: ours(at), env },
        { name: 'layers', command: ours(at, '--layers'), env },
        { name: 'layout', command: ours(`oci:${layout.folder}:image`), env },
        { name: 'node', command: [process.execPath, '-e', '0'] },
        {
          name: 'cosign',
          command: [commandPath('cosign')!, 'verify', '--key', publicKey, '--insecure-ignore-tlog', at],
          env: { ...process.env, TUF_ROOT: join(folder, 'tuf') },
        },
      ],
      ROUNDS,
    );
    report('verify, cold, beside `cosign verify` of the same image in a registry', [
      { what: 'in the registry', measured: ratio(results, 'registry', 'cosign'), target: 2 },
      { what: 'in the registry, with every layer (61 MB) hashed', measured: ratio(results, 'layers', 'cosign') },
      { what: 'on this machine, with every layer hashed', measured: ratio(results, 'layout', 'cosign') },
      { what: '`node -e 0`', measured: ratio(results, 'node', 'cosign') },
    ]);
    expect(results.get('registry')).toHaveLength(ROUNDS);
  });
});
