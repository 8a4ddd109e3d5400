import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type Outcome, publishPolicy } from '../../../../cli/line/publish/index.ts';
import { McpBuildError } from '../../../../errors/index.ts';
import { generateKey, keySigner } from '../../../../trust/index.ts';
import type { OciRegistryOptions } from '../../../fakes/oci-registry.ts';
import { startTeam, strangersPolicy, type Team } from './fixture.ts';

const teams: Team[] = [];
afterEach(async () => {
  for (const team of teams.splice(0)) await team[Symbol.asyncDispose]();
});

const team = async (names: readonly string[], options: OciRegistryOptions = {}): Promise<Team> => {
  const made = await startTeam(names, options);
  teams.push(made);
  return made;
};
const statuses = (outcomes: readonly Outcome[]) =>
  outcomes.map((one) => (one.status === 'failed' ? `${one.error.code}: ${one.error.message}` : one.status));
const codes = (outcomes: readonly Outcome[]) =>
  outcomes.map((one) => (one.status === 'failed' ? one.error.code : one.status));
const referrersOf = async (it: Team, name: string) =>
  (await it.remote(name).referrers((await it.remote(name).resolve('1.0.0')).digest)).length;

describe.each([
  ['with the referrers API', {}],
  ['without it', { referrers: false }],
])('publishing to a registry %s', (_which, options) => {
  it('tags what a stranger accepts, and the next time looks at it with a dozen requests', async () => {
    const it = await team(['alpha'], options);
    const [first] = await it.publish();
    expect(statuses([first!])).toEqual(['published']);
    const { tags } = it.registry.repository('mcp/alpha');
    expect([...tags.keys()].filter((tag) => !tag.startsWith('sha256-'))).toEqual([
      expect.stringMatching(/^1\.0\.0-[0-9a-f]{12}$/),
      '1.0.0',
    ]);
    expect(await it.unverified()).toEqual([]);
    it.registry.seen.length = 0;
    const [again] = await it.publish();
    expect(statuses([again!])).toEqual(['unchanged']);
    expect(it.registry.seen.length).toBeLessThanOrEqual(12);
    expect(it.registry.seen.every(({ method }) => method === 'GET' || method === 'HEAD')).toBe(true);
    // Nor is anything left in the user's state.
    expect(await readdir(join(it.folder, 'home', 'publish'))).toEqual([]);
  });

  it('leaves nothing unsigned under a tag wherever it is cut off, and finishes when it is run again', async () => {
    const it = await team(['alpha'], options);
    let left = Number.POSITIVE_INFINITY;
    let count = 0;
    // From some request on nothing is done any more, as after a kill; the registry sees the same.
    it.registry.faults.push(({ response }) => {
      count += 1;
      if (count <= left) return false;
      response.writeHead(403).end();
      return true;
    });
    const run = async (most: number) => {
      left = most;
      count = 0;
      return codes(await it.publish());
    };
    expect(await run(Number.POSITIVE_INFINITY)).toEqual(['published']);
    const total = count;
    const repository = it.registry.repository('mcp/alpha');
    for (let cut = 0; cut < total; cut += 1 + Math.floor(total / 10)) {
      for (const kept of [repository.tags, repository.manifests, repository.blobs]) kept.clear();
      const [first] = await run(cut);
      left = Number.POSITIVE_INFINITY;
      expect(first, `cut after ${cut} of ${total}`).not.toBe('published');
      expect(await it.unverified(), `cut after ${cut} of ${total}`).toEqual([]);
      expect(await run(Number.POSITIVE_INFINITY), `cut after ${cut} of ${total}`).toEqual(['published']);
      expect(await it.unverified(), `cut after ${cut} of ${total}`).toEqual([]);
    }
  }, 180_000);

  it('by several at once ends with all of it signed, and the same for all', async () => {
    const it = await team(['alpha', 'beta'], options);
    const runs = await Promise.all([it.publish(), it.publish(), it.publish()]);
    for (const run of runs)
      expect(
        codes(run).every((one) => one === 'published' || one === 'unchanged'),
        statuses(run).join(),
      ).toBe(true);
    expect(new Set(runs.flat().map((one) => (one.status === 'failed' ? '' : `${one.name} ${one.digest}`))).size).toBe(
      2,
    );
    expect(await it.unverified()).toEqual([]);
    expect(codes(await it.publish())).toEqual(['unchanged', 'unchanged']);
  }, 180_000);
});

describe('what is published again', () => {
  it('is a server of which the manifest says something else: the new statement takes the place of the old one', async () => {
    const it = await team(['alpha']);
    await it.publish();
    const before = await referrersOf(it, 'alpha');
    const text = await readFile(join(it.folder, 'mcp-build.yaml'), 'utf8');
    await it.write(text.replace('"pypi:alpha"', '"pypi:alpha", args: [--x], permissions: {network: all}'));
    expect(codes(await it.publish())).toEqual(['published']);
    expect(await it.unverified()).toEqual([]);
    expect(await referrersOf(it, 'alpha')).toBe(before + 1);
    expect(codes(await it.publish())).toEqual(['unchanged']);
    // And back: what was said first must not come to count again by being there already.
    await it.write(text);
    expect(codes(await it.publish())).toEqual(['published']);
    expect(codes(await it.publish())).toEqual(['unchanged']);
    expect(await it.unverified()).toEqual([]);
  });

  it('is another version, whose tags stand beside the old ones', async () => {
    const it = await team(['alpha']);
    await it.write(`${await readFile(join(it.folder, 'mcp-build.yaml'), 'utf8')}tags: [latest]\n`);
    await it.publish();
    await it.lock('alpha', '1.1.0');
    expect(codes(await it.publish())).toEqual(['published']);
    const { tags } = it.registry.repository('mcp/alpha');
    expect(tags.get('latest')).toBe(tags.get('1.1.0'));
    expect(tags.get('1.0.0')).not.toBe(tags.get('1.1.0'));
  });

  it('is one whose tag was moved, or whose signature was taken away', async () => {
    const it = await team(['alpha']);
    await it.publish();
    const repository = it.registry.repository('mcp/alpha');
    repository.tags.delete('1.0.0');
    expect(codes(await it.publish())).toEqual(['published']);
    for (const [digest, { bytes }] of repository.manifests)
      if (bytes.includes('cosign/sign/v1')) repository.manifests.delete(digest);
    const [again] = await it.publish();
    expect(again).toMatchObject({ status: 'published', why: expect.stringContaining('signature') });
    expect(await it.unverified()).toEqual([]);
  });

  it('is signed by whoever publishes now: a rotated key says all of it anew', async () => {
    const it = await team(['alpha']);
    await it.publish();
    const key = generateKey();
    const rotated = { signer: async () => keySigner(key), policy: strangersPolicy(key) };
    expect(codes(await it.publish(rotated))).toEqual(['published']);
    expect(codes(await it.publish(rotated))).toEqual(['unchanged']);
  });
});

describe('what is not published', () => {
  it('doesn’t keep the others', async () => {
    const it = await team(['alpha', 'beta', 'gamma']);
    const lock = join(it.folder, 'lockfiles', 'beta', 'requirements.txt');
    await writeFile(lock, `${await readFile(lock, 'utf8')}# changed\n`);
    expect(codes(await it.publish())).toEqual(['published', 'lock-mismatch', 'published']);
    expect([...it.registry.repository('mcp/beta').tags.keys()]).toEqual([]);
  });

  it('is a lock that the manifest no longer asks for', async () => {
    const it = await team(['alpha']);
    const text = await readFile(join(it.folder, 'mcp-build.yaml'), 'utf8');
    await it.write(text.replace('"pypi:alpha"', '"pypi:alpha>=2"'));
    const [outcome] = await it.publish();
    expect(outcome).toMatchObject({ status: 'failed', error: { code: 'lock-outdated', exit: 4 } });
  });

  it('is what no index offers', async () => {
    const it = await team(['alpha']);
    await it.lock('alpha', '6.6.6');
    const [outcome] = await it.publish();
    expect(outcome?.status).toBe('failed');
    expect(it.registry.seen.some(({ method }) => method === 'PUT' || method === 'POST')).toBe(false);
  });

  it('is what the policy can be known to refuse: nothing of it is pushed', async () => {
    const it = await team(['alpha']);
    const policy = {
      ...it.policy,
      rules: it.policy.rules.map((rule) => ({
        ...rule,
        allow: { permissions: { network: 'none' as const, volumes: [], environment: [] } },
      })),
    };
    const text = await readFile(join(it.folder, 'mcp-build.yaml'), 'utf8');
    await it.write(text.replace('"pypi:alpha"', '"pypi:alpha", permissions: {network: all}'));
    const [outcome] = await it.publish({ policy });
    expect(outcome).toMatchObject({ status: 'failed', error: { code: 'permission-refused', exit: 4 } });
    expect(it.registry.seen.some(({ method }) => method === 'PUT' || method === 'POST')).toBe(false);
  });

  it('is what a stranger doesn’t trust: pushed for a second signer, and never tagged', async () => {
    const it = await team(['alpha']);
    const other = generateKey();
    const [outcome] = await it.publish({ signer: async () => keySigner(other) });
    expect(outcome).toMatchObject({ status: 'failed', error: { exit: 3 } });
    expect(it.registry.repository('mcp/alpha').manifests.size).toBeGreaterThan(0);
    expect([...it.registry.repository('mcp/alpha').tags.keys()].filter((tag) => !tag.startsWith('sha256-'))).toEqual(
      [],
    );
    expect(codes(await it.publish())).toEqual(['published']);
  });

  it('is another image under a tag that never moves', async () => {
    const it = await team(['alpha']);
    await it.publish();
    const repository = it.registry.repository('mcp/alpha');
    const immutable = [...repository.tags.keys()].find((tag) => /-[0-9a-f]{12}$/.test(tag))!;
    const other = [...repository.manifests.keys()].find((digest) => digest !== repository.tags.get(immutable))!;
    repository.tags.set(immutable, other);
    expect(codes(await it.publish())).toEqual(['tag-immutable']);
    expect(repository.tags.get(immutable)).toBe(other);
  });

  it('is anything of a dry run, which says what it would do', async () => {
    const it = await team(['alpha']);
    expect(codes(await it.publish({ dryRun: true }))).toEqual(['would-publish']);
    expect(it.registry.seen.every(({ method }) => method === 'GET' || method === 'HEAD')).toBe(true);
  });

  it('is a registry that lets nobody look without credentials, unless nothing is to be changed there', async () => {
    const it = await team(['alpha'], { auth: { scheme: 'basic', username: 'someone', password: 'else' } });
    expect(await it.publish({ dryRun: true })).toMatchObject([
      { status: 'would-publish', why: 'what is published can’t be seen without credentials' },
    ]);
    expect(codes(await it.publish())).toEqual(['unauthorized']);
  });

  it('is a policy that names nobody, unless nothing is to be signed', async () => {
    const it = await team(['alpha']);
    const { home } = await it.settings();
    const load = () => Promise.reject(new McpBuildError({ code: 'key-missing', message: 'none', fix: 'none' }));
    const policyOf = (signer: { keyless?: boolean }, dryRun: boolean) =>
      publishPolicy({ home, policy: undefined, signer, load, dryRun });
    await expect(policyOf({}, false)).rejects.toMatchObject({ code: 'key-missing' });
    await expect(policyOf({ keyless: true }, false)).rejects.toMatchObject({ code: 'policy-missing' });
    for (const signer of [{}, { keyless: true }]) {
      const policy = await policyOf(signer, true);
      expect(codes(await it.publish({ dryRun: true, policy }))).toEqual(['would-publish']);
    }
    await it.publish();
    // What is there is tried as if it were not: nobody says whom to trust.
    expect(codes(await it.publish({ dryRun: true, policy: await policyOf({}, true) }))).toEqual(['would-publish']);
  });

  it('is what the registry serves otherwise than it was pushed', async () => {
    const it = await team(['alpha']);
    it.registry.faults.push(({ method, path, response }) => {
      if (method !== 'GET' || !path.includes('/blobs/sha256')) return false;
      response.writeHead(200).end('something else');
      return true;
    });
    const [outcome] = await it.publish();
    expect(outcome?.status).toBe('failed');
    expect([...it.registry.repository('mcp/alpha').tags.keys()].filter((tag) => !tag.startsWith('sha256-'))).toEqual(
      [],
    );
  });
});

it('an image without a layer of its own sends only what the registry hasn’t got: the base is mounted', async () => {
  const it = await team(['alpha', 'beta', 'gamma']);
  await it.publish();
  const mounted = it.registry.seen.filter(({ method, path }) => method === 'POST' && path.includes('mount='));
  expect(mounted.length).toBeGreaterThan(0);
});

it('a recheck reads every byte of what is unchanged', async () => {
  const it = await team(['alpha']);
  await it.publish();
  expect(codes(await it.publish({ recheck: true }))).toEqual(['unchanged']);
  const { blobs } = it.registry.repository('mcp/alpha');
  const [layer] = [...blobs].find(([, bytes]) => bytes.readUInt16BE() === 0x1f8b)!;
  blobs.set(layer, Buffer.alloc(blobs.get(layer)!.length));
  expect(codes(await it.publish())).toEqual(['unchanged']);
  expect(codes(await it.publish({ recheck: true }))[0]).toMatch(/content-mismatch|integrity|refused/);
});
