import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Artifact, Lock } from '../../../builders/index.ts';
import { homeOf } from '../../../cli/line/home.ts';
import { vetLock } from '../../../cli/line/lock-vet.ts';
import { folderOf, stateLock } from '../../../cli/line/source.ts';
import { localFile } from '../../../cli/line/wanted.ts';
import { DEFAULT_VETTING } from '../../../trust/index.ts';
import { wheel } from '../../builders/pypi/wheel.ts';
import { lock as sample } from '../../builders/sample-lock.ts';
import { pack } from '../../fakes/npm-registry.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lock-vet-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const TROJAN = 'if (access) { /*\u202e } \u2066if (admin)\u2069 \u2066 begin */\nrun(); /* end\u202e { \u2066*/ }\n';
const refused = { code: 'vetting-refused', exit: 4, message: expect.stringContaining('hidden-unicode') };

function settings() {
  const environment = {
    HOME: root,
    PATH: '/nonexistent',
    MCP_BUILD_HOME: join(root, 'home'),
    XDG_CONFIG_HOME: root,
    npm_config_globalconfig: join(root, 'none'),
    // Nobody is there: of a server without dependencies nothing is asked.
    npm_config_registry: 'http://127.0.0.1:9/',
  };
  return { home: homeOf(environment), environment };
}

async function tarball(code: string): Promise<string> {
  const path = join(root, 'hello-mcp-1.0.0.tgz');
  const manifest = { bin: { 'hello-mcp': 'cli.js' }, license: 'MIT' };
  await writeFile(path, pack({ name: 'hello-mcp', version: '1.0.0', manifest, files: { 'cli.js': code } }));
  return path;
}

describe('a file on this machine', () => {
  it('is read before anything is kept of its lock', async () => {
    const bad = await tarball(`#!/usr/bin/env node\n${TROJAN}`);
    await expect(stateLock(bad, settings())).rejects.toMatchObject(refused);
    expect(existsSync(await folderOf(bad, settings()))).toBe(false);
    const good = await tarball('#!/usr/bin/env node\nrun();\n');
    expect(existsSync(join(await stateLock(good, settings()), 'image.lock.json'))).toBe(true);
  });

  it('may be looked at nowhere but in what the refusal says: an index may have another package of its name', async () => {
    await expect(stateLock(await tarball(TROJAN), settings())).rejects.toMatchObject({
      fix: expect.not.stringContaining('mcp-build audit'),
    });
  });

  const vet = async (path: string, more: Partial<Lock> = {}) => {
    const { source, local } = await localFile(path);
    const { file, integrity, size } = local!;
    const version = source.range.replace('==', '');
    const artifact: Artifact = { kind: 'wheel', name: source.name, version, file, integrity, size, index: 'file:' };
    const lock: Lock = {
      ...sample,
      source: { ...source, version },
      platforms: { 'linux/amd64': { layers: [{ name: 'server', transform: 'pypi/1', files: [artifact] }] } },
      ...more,
    };
    const options = { workspace: undefined, files: [path], now: new Date(), rules: DEFAULT_VETTING };
    return vetLock({ lock, files: {} }, { ...settings(), ...options });
  };

  it('is read where it is a wheel, too', async () => {
    const { file, bytes } = wheel({ name: 'srv', version: '1.0', files: { 'srv.py': TROJAN } });
    await writeFile(join(root, file), bytes);
    await expect(vet(join(root, file))).rejects.toMatchObject(refused);
  });

  it('may hold what its lock allows', async () => {
    const files = Object.fromEntries(Array.from({ length: 9 }, (_, at) => [`srv/${at}.py`, 'pass\n']));
    const made = wheel({ name: 'srv', version: '1.0', files });
    await writeFile(join(root, made.file), made.bytes);
    await expect(vet(join(root, made.file), { limits: { files: 5 } })).rejects.toMatchObject({
      message: expect.stringContaining('unreadable'),
    });
    await expect(vet(join(root, made.file), { limits: { files: 50 } })).resolves.toMatchObject({});
  });
});
