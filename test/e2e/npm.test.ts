import { spawn } from 'node:child_process';
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { artifactCache, type NpmArtifact, type Platform, parseSource, type Resolution } from '../../builders/index.ts';
import { npm, resolveNodeRuntime } from '../../builders/npm/index.ts';
import { sha256 } from '../../digest/index.ts';

// Against the real registry, with npm itself as the oracle: the tree that is baked must be the one `npm ci --ignore-scripts` puts on
// disk from the same lock, file by file, mode by mode, link by link.

const PLATFORMS: readonly Platform[] = ['linux/amd64', 'linux/arm64'];
const CPU = { 'linux/amd64': 'x64', 'linux/arm64': 'arm64' } as const;

let folder: string;
const options = () => ({
  cache: join(folder, 'cache'),
  before: new Date(Date.now() - 3 * 24 * 3600 * 1000),
  workspace: undefined,
  environment,
});
const environment = { ...process.env };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mcp-build-e2e-npm-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

type Tree = Readonly<Record<string, string>>;

async function treeOf(root: string): Promise<Tree> {
  const tree: Record<string, string> = {};
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const name = relative(root, path);
    if (entry.isSymbolicLink()) tree[name] = `link ${await readlink(path)}`;
    else if (entry.isFile())
      tree[name] = `${((await lstat(path)).mode & 0o777).toString(8)} ${sha256(await readFile(path))}`;
  }
  // npm's note to itself on what it installed.
  delete tree['.package-lock.json'];
  return tree;
}

async function bakeTo(resolution: Resolution, platform: Platform, root: string): Promise<void> {
  const cache = artifactCache(join(folder, 'artifacts'), (artifact) => npm.fetch(artifact as NpmArtifact, options()));
  for (const layer of resolution.layers[platform] ?? []) {
    cache.fill(layer.files).catch(() => undefined);
    for await (const entry of npm.bake(layer, platform, cache.open)) {
      const path = join(root, entry.path);
      await mkdir(dirname(path), { recursive: true });
      if (entry.type === 'symlink') await symlink(entry.target, path);
      if (entry.type !== 'file') continue;
      const chunks: Uint8Array[] = [];
      for await (const chunk of entry.content instanceof Uint8Array ? [entry.content] : entry.content) {
        chunks.push(Uint8Array.from(chunk));
      }
      await writeFile(path, Buffer.concat(chunks), { flag: 'wx' });
      await chmod(path, entry.mode ?? 0o644);
    }
  }
}

async function npmCi(resolution: Resolution, platform: Platform, root: string): Promise<void> {
  await mkdir(root, { recursive: true });
  for (const [name, text] of Object.entries(resolution.files)) await writeFile(join(root, name), text);
  // npm on the machine's own node, as its users start it: not on the one of this project's node_modules.
  const path = (process.env.PATH ?? '')
    .split(':')
    .filter((entry) => !entry.includes('node_modules'))
    .join(':');
  const flags = [
    '--ignore-scripts',
    '--os=linux',
    '--libc=glibc',
    `--cpu=${CPU[platform]}`,
    `--cache=${join(folder, 'npm')}`,
  ];
  const env: NodeJS.ProcessEnv = { ...process.env, PATH: path };
  for (const key of Object.keys(env))
    if (/^npm_(config_global_prefix|config_local_prefix|config_globalconfig|package_|lifecycle_)/.test(key))
      delete env[key];
  await new Promise<void>((resolve, reject) => {
    const child = spawn('npm', ['ci', ...flags], { cwd: root, env, stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.on('data', (chunk) => (said += chunk));
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`npm ci: ${said}`))));
  });
}

const SERVERS: readonly [string, string, { readonly bin?: string; readonly native?: boolean }][] = [
  ['npm:@modelcontextprotocol/server-everything', 'the reference server', {}],
  ['npm:@modelcontextprotocol/server-filesystem', 'glob and minimatch', {}],
  ['npm:@modelcontextprotocol/server-memory', 'the smallest', {}],
  [
    'npm:@modelcontextprotocol/server-puppeteer',
    'tarballs that list a file twice, a package with an install script',
    {},
  ],
  [
    'npm:@executeautomation/playwright-mcp-server',
    '270 packages, several versions of many, native optional ones',
    { native: true },
  ],
  ['npm:npm', 'nothing but bundled dependencies', { bin: 'npm' }],
  ['npm:sharp-cli', 'sharp: a native build for each platform, and libraries of its own', { native: true }],
];

describe.each(SERVERS)('%s (%s)', (text, _why, { bin, native }) => {
  const source = parseSource(text);
  let resolution: Resolution;

  test('resolves to the same bytes twice, naming no host', { timeout: 300_000 }, async () => {
    const asked = { ...options(), ...(bin ? { bin } : {}) };
    resolution = await npm.resolve(source, PLATFORMS, asked);
    // Another environment object: nothing in memory is used again.
    expect(await npm.resolve(source, PLATFORMS, { ...asked, environment: { ...environment } })).toEqual(resolution);
    expect(resolution.files['package-lock.json']).not.toMatch(/"resolved"|registry\./);
    for (const platform of PLATFORMS) {
      for (const file of resolution.layers[platform]?.flatMap((layer) => layer.files) ?? []) {
        expect(file).toMatchObject({
          kind: 'npm',
          uploaded: expect.stringMatching(/Z$/),
          integrity: expect.stringMatching(/^sha512-/),
        });
      }
    }
    const [amd64, arm64] = PLATFORMS.map((platform) => JSON.stringify(resolution.layers[platform]));
    expect(amd64 === arm64).toBe(!native);
  });

  // Where no package differs between the two, one stands for both.
  test.each(native ? PLATFORMS : PLATFORMS.slice(0, 1))(
    'is on %s what npm would install',
    { timeout: 600_000 },
    async (platform) => {
      const root = join(folder, `${source.name.replace('/', '_')}-${CPU[platform]}`);
      await Promise.all([
        bakeTo(resolution, platform, join(root, 'ours')),
        npmCi(resolution, platform, join(root, 'npm')),
      ]);
      const ours = await treeOf(join(root, 'ours/app/node_modules'));
      expect(Object.keys(ours).length).toBeGreaterThan(5);
      expect(ours).toEqual(await treeOf(join(root, 'npm/node_modules')));
      await rm(root, { recursive: true, force: true });
    },
  );
});

test('the Node runtime is there for both platforms, as one version', { timeout: 300_000 }, async () => {
  const runtimes = await resolveNodeRuntime(PLATFORMS, '24', options());
  expect(runtimes['linux/amd64']?.version).toBe(runtimes['linux/arm64']?.version);
  const runtime = runtimes['linux/amd64'];
  if (!runtime) throw new Error('no runtime');
  const cache = artifactCache(join(folder, 'artifacts'), (artifact) => npm.fetch(artifact as NpmArtifact, options()));
  const entries: [string, number][] = [];
  const layer = { name: 'runtime' as const, transform: 'node-runtime/1', files: [runtime] };
  for await (const entry of npm.bake(layer, 'linux/amd64', cache.open)) {
    if (entry.type === 'file') entries.push([entry.path, entry.size]);
  }
  expect(entries.map(([path]) => path)).toContain('usr/local/bin/node');
  expect(Math.max(...entries.map(([, size]) => size))).toBeGreaterThan(50_000_000);
});
