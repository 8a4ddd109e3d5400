import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Artifact, type Lock, PLATFORMS, parseLock } from '../../builders/index.ts';
import { cliDone, type Workplace, workplace } from './harness/cli.ts';
import { commandPath, describeWith } from './harness/needs.ts';

/** What is read of syft's own JSON. */
interface Scan {
  readonly artifacts: readonly {
    readonly name: string;
    readonly version: string;
    readonly type: string;
    readonly locations: readonly { readonly path: string }[];
  }[];
  readonly distro: { readonly id: string };
}

const TYPES: Readonly<Record<string, Artifact['kind']>> = { deb: 'deb', npm: 'npm', python: 'wheel' };

const CASES = [
  { source: 'npm:@modelcontextprotocol/server-filesystem', name: 'server-filesystem', flags: [] },
  { source: 'pypi:mcp-server-time', name: 'mcp-server-time', flags: ['--system', 'ripgrep'] },
] as const;

describeWith(['syft'], 'a scanner', () => {
  describe.each(CASES)('of $source', ({ source, name, flags }) => {
    let place: Workplace;
    let lock: Lock;

    beforeAll(async () => {
      place = await workplace();
      await cliDone(['lock', source, ...flags], place);
      await cliDone(['build', name, '--output', 'oci:layout'], place);
      const file = join(place.cwd, 'lockfiles', name, 'image.lock.json');
      lock = parseLock(await readFile(file, 'utf8'), file);
    });

    afterAll(() => place?.[Symbol.asyncDispose]());

    test.each(PLATFORMS)('sees on %s what is locked, and nothing else', async (platform) => {
      const files = lock.platforms[platform]!.layers.flatMap((layer) => layer.files);
      const { artifacts, distro } = await syft(place.cwd, '--platform', platform, 'oci-dir:layout');
      expect(distro.id).toBe('debian');
      const found = artifacts
        .filter(({ type, locations }) => type !== 'npm' || !locations.every(({ path }) => isShipped(path, files)))
        .map(({ type, name: is, version }) => `${TYPES[type] ?? type} ${spelled(type, is)} ${version}`);
      // A package with several places in the tree is found in each.
      expect([...new Set(found)].sort()).toEqual([...new Set(files.map(lockedAs))].sort());
    });
  });
});

/** Node is a binary to a scanner, which is how advisories name it; the package that carries it is not in the image. */
function lockedAs({ kind, name, version }: Artifact): string {
  if (/^node-linux-/.test(name)) return `binary node ${version}`;
  return `${kind} ${spelled(kind, name)} ${version}`;
}

/** PyPI takes several spellings for one name. */
function spelled(type: string, name: string): string {
  return type === 'python' || type === 'wheel' ? name.toLowerCase().replace(/[-_.]+/g, '-') : name;
}

/** Whether a package.json is one that a locked package has somewhere in its own files: tests and examples often are packages. */
function isShipped(path: string, files: readonly Artifact[]): boolean {
  const folders = files.flatMap((file) => (file.kind === 'npm' ? file.locations : [])).map((at) => `/app/${at}`);
  const own = path.slice(0, path.lastIndexOf('/'));
  return (
    !folders.includes(own) &&
    folders.some((folder) => own.startsWith(`${folder}/`)) &&
    !/\/node_modules\/(?:@[^/]+\/)?[^/]+$/.test(own)
  );
}

async function syft(cwd: string, ...args: readonly string[]): Promise<Scan> {
  const { stdout } = await promisify(execFile)(commandPath('syft')!, ['scan', '--output', 'json', '--quiet', ...args], {
    cwd,
    maxBuffer: 256 << 20,
    // No look for a newer version of itself: tests talk to nobody.
    env: { ...process.env, SYFT_CHECK_FOR_APP_UPDATE: 'false' },
  });
  return JSON.parse(stdout) as Scan;
}
