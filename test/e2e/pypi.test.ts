import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, posix } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type ArtifactCache,
  artifactCache,
  type Platform,
  type Resolution,
  type ResolveOptions,
  type WheelArtifact,
} from '../../builders/index.ts';
import { pypi } from '../../builders/pypi/index.ts';
import { parseWheelName, uvPlatform } from '../../builders/pypi/tags.ts';
import { parseSource } from '../../builders/source.ts';
import { commandPath, describeWith } from './harness/needs.ts';

const exec = promisify(execFile);
const SITE = 'usr/local/lib/python3.13/dist-packages/';

/** One installed file, by what must be the same whoever installs it. */
interface Installed {
  readonly sha256: string;
  readonly executable: boolean;
  readonly text: string | undefined;
}
type Tree = Map<string, Installed>;

// Real releases from the index this machine is configured for; what uv puts on disk from the same lock is the oracle.
describeWith(['uv', 'python3'], 'servers from PyPI, as uv installs them', () => {
  let home: string;
  let cache: ArtifactCache;
  let options: ResolveOptions;
  let python: string;
  beforeAll(async () => {
    // A version manager's shim takes seconds each time it is asked which Python it stands for.
    const { stdout } = await exec(commandPath('python3')!, ['-c', 'import sys; print(sys.executable)']);
    python = stdout.trim();
    home = await mkdtemp(join(tmpdir(), 'pypi-real-'));
    const environment = { ...process.env, PATH: `${process.env.PATH}:${join(commandPath('uv') ?? '/', '..')}` };
    options = { cache: home, before: new Date(Date.now() - 3 * 86_400_000), workspace: undefined, environment };
    cache = artifactCache(join(home, 'artifacts'), (artifact) => pypi.fetch(artifact as WheelArtifact, options));
  });
  afterAll(() => rm(home, { recursive: true, force: true }));

  async function baked(resolution: Resolution, platform: Platform): Promise<Tree> {
    const layers = resolution.layers[platform] ?? [];
    await cache.fill(layers.flatMap(({ files }) => files));
    const tree: Tree = new Map();
    for (const layer of layers) {
      for await (const entry of pypi.bake(layer, platform, cache.open)) {
        if (entry.type !== 'file') throw new Error(`${entry.path} is no file`);
        const hash = createHash('sha256');
        const head: Buffer[] = [];
        const parts = entry.content instanceof Uint8Array ? [entry.content] : entry.content;
        for await (const part of parts) {
          hash.update(part);
          if (entry.size < 1 << 20) head.push(Buffer.from(part));
        }
        expect(tree.has(entry.path)).toBe(false);
        tree.set(entry.path, {
          sha256: hash.digest('hex'),
          executable: ((entry.mode ?? 0) & 0o111) !== 0,
          text: entry.size < 1 << 20 ? Buffer.concat(head).toString('latin1') : undefined,
        });
      }
    }
    return tree;
  }

  async function installed(resolution: Resolution, platform: Platform): Promise<Tree> {
    const target = await mkdtemp(join(home, 'target-'));
    const requirements = join(target, 'requirements.txt');
    await writeFile(requirements, resolution.files['requirements.txt'] ?? '');
    const words = ['pip', 'sync', '--require-hashes', '--target', join(target, 'tree'), '--only-binary', ':all:'];
    const where = ['--python-platform', uvPlatform(platform), '--python-version', '3.13', '--python', python];
    await exec(commandPath('uv')!, [...words, ...where, requirements], {
      env: { ...process.env, UV_CACHE_DIR: join(home, 'uv-oracle') },
    });
    const tree: Tree = new Map();
    const walk = async (folder: string, path: string): Promise<void> => {
      for (const entry of await readdir(folder, { withFileTypes: true })) {
        const at = join(folder, entry.name);
        const name = posix.join(path, entry.name);
        if (entry.isDirectory()) await walk(at, name);
        else {
          const bytes = await readFile(at);
          const { mode } = await stat(at);
          tree.set(name, {
            sha256: createHash('sha256').update(bytes).digest('hex'),
            executable: (mode & 0o111) !== 0,
            text: bytes.length < 1 << 20 ? bytes.toString('latin1') : undefined,
          });
        }
      }
    };
    await walk(join(target, 'tree'), '');
    await rm(target, { recursive: true });
    return tree;
  }

  /** Where uv's `--target` puts what goes to this path of the image: everything is below one folder. */
  function place(path: string): string {
    if (path.startsWith(SITE)) return path.slice(SITE.length);
    return path.replace('usr/local/include/python3.13/', 'include/').replace('usr/local/', '');
  }

  /** Names that RECORD gives, in uv's places; neither installer's own notes. */
  function recordOf(text: string): string[] {
    return (
      text
        .split('\n')
        .filter(
          (line) => line !== '' && !/\/(?:RECORD|INSTALLER|REQUESTED|uv_cache\.json|direct_url\.json),/.test(line),
        )
        // Launchers differ by their interpreter, and so do their hashes.
        .map((line) => line.replace(/^"?(?:\.\.\/)*(bin|share|etc|include)\/(?:python3\.13\/)?([^",]*)"?,.*$/, '$1/$2'))
        .sort()
    );
  }

  /** A launcher without its interpreter: what it imports and calls. */
  function callOf(text: string): string | undefined {
    const imported = /^from (\S+) import (\S+)$/m.exec(text);
    const called = /sys\.exit\((\S+)\(\)\)/.exec(text);
    return imported && called ? `${imported[1]} ${imported[2]} ${called[1]}` : undefined;
  }

  function compare(ours: Tree, theirs: Tree): { files: number; launchers: number } {
    const own = new Map([...ours].map(([path, file]) => [place(path), file]));
    const notes = /\.dist-info\/(?:INSTALLER|REQUESTED|uv_cache\.json|direct_url\.json|uv_build\.json)$|^\.lock$/;
    const names = (tree: Tree) => [...tree.keys()].filter((path) => !notes.test(path)).sort();
    expect(names(own)).toEqual(names(theirs));
    let launchers = 0;
    for (const path of names(own)) {
      const mine = own.get(path)!;
      const other = theirs.get(path)!;
      const isRecord = path.endsWith('.dist-info/RECORD');
      // Ours is a new file; uv writes into the wheel's, whatever mode that had.
      if (!isRecord) expect([path, mine.executable]).toEqual([path, other.executable]);
      if (mine.sha256 === other.sha256) continue;
      if (isRecord) {
        expect(recordOf(mine.text ?? '')).toEqual(recordOf(other.text ?? ''));
      } else {
        // All else that may differ is the first line, or the template around the same call.
        expect(path).toMatch(/^bin\//);
        expect(mine.text).toMatch(/^#!\/usr\/bin\/python3\.13\b/);
        const rest = (text: string | undefined) => text?.slice(text.indexOf('\n'));
        if (rest(mine.text) !== rest(other.text)) {
          expect(callOf(mine.text ?? '')).toBeDefined();
          expect([path, callOf(mine.text ?? '')]).toEqual([path, callOf(other.text ?? '')]);
        }
        launchers += 1;
      }
    }
    return { files: ours.size, launchers };
  }

  // Two small ones, one with cryptography, one with some of everything: numpy, pandas, lxml, onnxruntime.
  test.each(['pypi:mcp-server-time', 'pypi:mcp-server-fetch', 'pypi:mcp-server-git', 'pypi:markitdown-mcp'])(
    '%s, on both platforms',
    async (source) => {
      const platforms = ['linux/amd64', 'linux/arm64'] as const;
      const resolution = await pypi.resolve(parseSource(source), platforms, options);
      const again = await pypi.resolve(parseSource(source), platforms, options);
      expect(again).toEqual(resolution);
      expect(JSON.stringify(resolution)).not.toMatch(/https?:\/\//);
      for (const platform of platforms) {
        const ours = await baked(resolution, platform);
        const { files, launchers } = compare(ours, await installed(resolution, platform));
        expect(files).toBeGreaterThan(500);
        expect(launchers).toBeGreaterThan(0);
        expect(ours.get(resolution.entrypoint[0]!.slice(1))).toMatchObject({ executable: true });
      }
    },
  );

  test('pip takes the same lock, hashes and all', async () => {
    const resolution = await pypi.resolve(parseSource('pypi:mcp-server-time'), ['linux/amd64'], options);
    const target = await mkdtemp(join(home, 'pip-'));
    const requirements = join(target, 'requirements.txt');
    await writeFile(requirements, resolution.files['requirements.txt'] ?? '');
    const wheels = resolution.layers['linux/amd64']!.flatMap(({ files }) =>
      files.map(({ file }) => parseWheelName(file)),
    );
    const systems = [...new Set(wheels.flatMap((wheel) => wheel?.platforms ?? []))].filter((name) => name !== 'any');
    const words = ['-m', 'pip', 'install', '--require-hashes', '--no-deps', '-q', '--disable-pip-version-check'];
    const where = [
      '--target',
      join(target, 'tree'),
      '--python-version',
      '3.13',
      '--only-binary',
      ':all:',
      '--no-compile',
    ];
    await exec(python, [
      ...words,
      ...where,
      ...systems.flatMap((system) => ['--platform', system]),
      '-r',
      requirements,
    ]);
    const modules = await readdir(join(target, 'tree'));
    const ours = await baked(resolution, 'linux/amd64');
    const top = new Set([...ours.keys()].flatMap((path) => (path.startsWith(SITE) ? [place(path).split('/')[0]] : [])));
    expect(modules.filter((name) => name !== 'bin' && name !== '__pycache__').sort()).toEqual([...top].sort());
  });
});
