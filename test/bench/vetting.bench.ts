import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { inMemory } from '../../builders/archive/index.ts';
import { artifactCache, type Lock, type NpmArtifact } from '../../builders/index.ts';
import { writeLockFolder } from '../../cli/line/folder.ts';
import { homeOf } from '../../cli/line/home.ts';
import { integrityFromHex, sha256 } from '../../digest/index.ts';
import { Scan } from '../../vetting/content/scan.ts';
import { importExport, storedAdvisories } from '../../vetting/index.ts';
import { lock as sample } from '../builders/sample-lock.ts';
import { root } from '../e2e/harness/tree.ts';
import { pack } from '../fakes/npm-registry.ts';
import { flaw, osvExport } from '../fakes/osv.ts';
import { npmPackage } from '../vetting/packages.ts';
import { median, published, report, sideBySide } from './measure.ts';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 10);
const PACKAGES = 100;
const FLAWS = 10_000;

/** Real code: what is installed here. */
const CODE = readdirSync(join(root, 'node_modules'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && /\.(?:[cm]?js|json|md|ts)$/.test(entry.name))
  .map((entry) => join(entry.parentPath, entry.name))
  .sort()
  .slice(0, 3000)
  .map((path) => [path, readFileSync(path)] as const);

const today = new Date();
/** One flaw for each name, of versions that nobody here has. */
const advisories = osvExport(
  Array.from({ length: FLAWS }, (_, at) =>
    flaw(`GHSA-${at}`, 'npm', `bench-package-${at}`, [{ introduced: '0' }, { fixed: '1.0.0' }], {
      aliases: [`CVE-${at}`],
      modified: today.toISOString(),
    }),
  ),
);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vetting-bench-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A server of a hundred packages, 30 files of real code in each, everything about it on this machine. */
async function prepared() {
  const home = homeOf({ MCP_BUILD_HOME: join(folder, 'home') });
  const tarballs = new Map<string, Buffer>();
  const artifacts = Array.from({ length: PACKAGES }, (_, at): NpmArtifact => {
    const name = `bench-package-${at}`;
    const code = CODE.slice((at * 30) % CODE.length, ((at * 30) % CODE.length) + 30);
    const files = Object.fromEntries(
      code.map(([path, bytes], index) => [`${index}${path.slice(-20).replaceAll('/', '-')}`, bytes.toString('utf8')]),
    );
    const bytes = pack({ name, version: '1.0.0', manifest: { license: 'MIT' }, files });
    const integrity = integrityFromHex('sha512', createHash('sha512').update(bytes).digest('hex'));
    tarballs.set(name, bytes);
    return {
      kind: 'npm',
      name,
      version: '1.0.0',
      file: `${name}-1.0.0.tgz`,
      integrity,
      uploaded: '2026-01-01T00:00:00.000Z',
      index: 'default',
      locations: [`node_modules/${name}`],
    };
  });
  await artifactCache(join(home.cache, 'artifacts'), async function* ({ name }) {
    yield tarballs.get(name) ?? Buffer.alloc(0);
  }).fill(artifacts);
  await importExport(join(folder, 'home', 'advisories'), 'npm', inMemory(advisories), { now: today, digest: 'x' });
  const native = JSON.stringify({ packages: {} });
  const [server, ...dependencies] = artifacts as [NpmArtifact, ...NpmArtifact[]];
  const lock: Lock = {
    ...sample,
    source: { ...sample.source, name: server.name, version: server.version },
    native: { 'package-lock.json': sha256(native) },
    platforms: {
      'linux/amd64': {
        layers: [
          { name: 'dependencies', transform: 'npm/1', files: dependencies },
          { name: 'server', transform: 'npm/1', files: [server] },
        ],
      },
    },
  };
  const at = join(folder, 'lock');
  await writeLockFolder(at, { lock, files: { 'package-lock.json': native } });
  return { at, home };
}

test(`audit of a server with ${PACKAGES} packages, offline`, async () => {
  const { at, home } = await prepared();
  const env = { ...process.env, MCP_BUILD_HOME: join(folder, 'home') };
  const policy = join(folder, 'policy.yaml');
  await writeFile(policy, 'version: 1\nrules: []\nvetting:\n  refuse: never\n');
  // What code does is printed, not refused: it is whatever is installed here.
  const command = [process.execPath, published(), 'audit', at, '--offline', '--policy', policy];
  const forgotten = () => rm(join(home.cache, 'vetting'), { recursive: true, force: true });
  const results = await sideBySide(
    [
      { name: 'archives to read', command, cwd: folder, env, before: forgotten },
      { name: 'everything cached', command, cwd: folder, env },
      { name: 'node', command: [process.execPath, '-e', '0'], env },
    ],
    ROUNDS,
  );
  const seconds = (name: string) => median((results.get(name) ?? []).map((round) => round.seconds));
  report(`audit, a new process each time, load ${loadavg()[0]?.toFixed(1)}`, [
    { what: 'everything cached', measured: seconds('everything cached'), target: 1.5, unit: 's' },
    { what: 'every archive in the cache, and read', measured: seconds('archives to read'), unit: 's' },
    { what: '`node -e 0`', measured: seconds('node'), unit: 's' },
  ]);
  expect(results.get('everything cached')).toHaveLength(ROUNDS);
});

test('static reading beside hashing of the same bytes', async () => {
  const bytes = CODE.reduce((sum, [, buffer]) => sum + buffer.length, 0);
  const cost = async (work: () => Promise<void>) => {
    const before = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1e6;
  };
  const rounds: { hashing: number; reading: number }[] = [];
  for (let round = -1; round < ROUNDS; round += 1) {
    const hashing = await cost(async () => {
      for (const [, buffer] of CODE) createHash('sha512').update(buffer).digest();
    });
    const reading = await cost(async () => {
      const scan = new Scan();
      for (const [path, buffer] of CODE) await scan.file(path, buffer);
    });
    if (round >= 0) rounds.push({ hashing, reading });
  }
  report(`${(bytes / 1e6).toFixed(0)} MB of code, processor time`, [
    {
      what: 'reading, of hashing',
      measured: median(rounds.map(({ reading, hashing }) => reading / hashing)),
      target: 4,
    },
    { what: 'read in a second', measured: bytes / 1e6 / median(rounds.map(({ reading }) => reading)), unit: 'MB' },
  ]);
  expect(rounds).toHaveLength(ROUNDS);
});

test(`advisories of ${FLAWS} packages`, async () => {
  const at = join(folder, 'advisories');
  await importExport(at, 'npm', inMemory(advisories), { now: today, digest: 'x' });
  const tree = Array.from({ length: FLAWS }, (_, index) =>
    npmPackage(`bench-package-${index}`, index % 10 ? '1.5.0' : '0.5.0'),
  );
  const loading: number[] = [];
  const matching: number[] = [];
  for (let round = -1; round < ROUNDS; round += 1) {
    const began = performance.now();
    const stored = await storedAdvisories(at, tree);
    const loaded = performance.now();
    const hits = tree.filter((one) => (stored?.matching(one).length ?? 0) > 0);
    expect(hits).toHaveLength(FLAWS / 10);
    if (round < 0) continue;
    loading.push((loaded - began) / 1000);
    matching.push((performance.now() - loaded) / 1000);
  }
  report(`advisories, load ${loadavg()[0]?.toFixed(1)}`, [
    { what: 'matching, once they are loaded', measured: median(matching), target: 1, unit: 's' },
    { what: 'loading', measured: median(loading), unit: 's' },
  ]);
});
