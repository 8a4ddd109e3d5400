import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { notWithin, writtenVolumes } from '../../../../cli/line/backup/volumes.ts';
import { homeOf } from '../../../../cli/line/home.ts';
import { recordUse } from '../../../../cli/line/usage.ts';

let root: string;
const at = (name: string) => join(root, name);
const home = () => homeOf({ MCP_BUILD_HOME: at('home') });

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'volumes-'));
  for (const name of ['notes', 'notes/deep', 'notes-too', 'read', 'granted']) await mkdir(at(name));
});
afterEach(() => rm(root, { recursive: true, force: true }));

function started(name: string, volumes: readonly { readonly path: string; readonly mode: 'ro' | 'rw' }[]): void {
  recordUse(home(), {
    server: { name },
    image: { digest: 'sha256:1' },
    permissions: { network: 'none', volumes, environment: [] },
  });
}

describe('what servers could write to', () => {
  test('are the folders that a start gave them so and that are still there, each once', async () => {
    started('npm:@acme/notes', [
      { path: at('notes/deep'), mode: 'rw' },
      { path: at('read'), mode: 'ro' },
    ]);
    started('other', [
      { path: at('notes'), mode: 'rw' },
      { path: at('notes-too'), mode: 'rw' },
      { path: at('gone'), mode: 'rw' },
    ]);
    expect(await writtenVolumes(home(), undefined)).toEqual([at('notes'), at('notes-too')]);
  });

  test('are those that a manifest grants, too, of one that can be read', async () => {
    const manifest = (mode: string) =>
      writeFile(
        at('mcp-build.yaml'),
        `version: 1\nservers:\n  a:\n    source: npm:a@1.0.0\n    permissions: { volumes: [{ path: ${at('granted')}, mode: ${mode} }, { path: ${at('read')} }] }\n`,
      );
    await manifest('rw');
    expect(await writtenVolumes(home(), root)).toEqual([at('granted')]);
    await manifest('write-it-all');
    expect(await writtenVolumes(home(), root)).toEqual([]);
  });

  test('are named unless something that is taken holds them', () => {
    const volumes = ['/a/notes', '/a/notes-too', '/b'];
    expect(notWithin(volumes, [])).toEqual(volumes);
    expect(notWithin(volumes, ['/a/notes'])).toEqual(['/a/notes-too', '/b']);
    expect(notWithin(volumes, ['/a', '/b/part'])).toEqual(['/b']);
    expect(notWithin(volumes, ['/'])).toEqual([]);
  });
});
