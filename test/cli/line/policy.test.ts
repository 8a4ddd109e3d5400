import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Home, homeOf } from '../../../cli/line/home.ts';
import { acceptedBefore, admit, dismiss, policyFiles, policyOf, rememberAccepted } from '../../../cli/line/policy.ts';
import { writeAtomic } from '../../../files/index.ts';
import { defaultPolicy, generateKey, publicPem, type ServerPredicate } from '../../../trust/index.ts';

let root: string;
let home: Home;
let workspace: string;
beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'mcp-build-policy-')));
  home = homeOf({ MCP_BUILD_HOME: join(root, 'state') });
  workspace = join(root, 'workspace');
  await mkdir(workspace);
});
afterEach(() => rm(root, { recursive: true, force: true }));

const environment = () => ({ HOME: join(root, 'user') });

async function policyIn(folder: string): Promise<void> {
  await writeAtomic(join(folder, 'policy.yaml'), defaultPolicy('team.pub'));
  await writeAtomic(join(folder, 'team.pub'), publicPem(generateKey()));
}

describe('the policy in force', () => {
  it('is the user’s, then their own keys, and without either an error', async () => {
    await expect(policyOf(home, environment(), workspace)).rejects.toMatchObject({ code: 'key-missing', exit: 3 });
    await writeAtomic(join(home.keys, 'machine.pub'), publicPem(generateKey()));
    expect((await policyOf(home, environment(), workspace)).file).toBeUndefined();
    const own = policyFiles(environment()).at(-1)!;
    await policyIn(join(own, '..'));
    expect((await policyOf(home, environment(), workspace)).file).toBe(own);
  });

  it('is never the working directory’s, until somebody trusts it, and no longer once it changes', async () => {
    await writeAtomic(join(home.keys, 'machine.pub'), publicPem(generateKey()));
    await policyIn(workspace);
    expect((await policyOf(home, environment(), workspace)).file).toBeUndefined();
    await admit(home, workspace);
    expect((await policyOf(home, environment(), workspace)).file).toBe(join(workspace, 'policy.yaml'));
    expect((await policyOf(home, environment(), root)).file).toBeUndefined();
    await writeFile(join(workspace, 'team.pub'), publicPem(generateKey()));
    await expect(policyOf(home, environment(), workspace)).rejects.toMatchObject({
      code: 'workspace-changed',
      exit: 3,
    });
    expect(await dismiss(home, workspace)).toBe(true);
    expect((await policyOf(home, environment(), workspace)).file).toBeUndefined();
  });
});

describe('the record against rollback', () => {
  const server = (version: string, created = '2026-01-01T00:00:00Z') =>
    ({ source: { ecosystem: 'npm', name: '@example/x', version }, created }) as ServerPredicate;

  it('keeps the newest', async () => {
    expect(await acceptedBefore(home, { ecosystem: 'npm', name: '@example/x' })).toBeUndefined();
    for (const version of ['1.2.0', '1.10.0', '1.9.0']) await rememberAccepted(home, server(version));
    expect(await acceptedBefore(home, { ecosystem: 'npm', name: '@example/x' })).toMatchObject({ version: '1.10.0' });
    await rememberAccepted(home, server('1.10.0', '2026-02-01T00:00:00Z'));
    expect(await acceptedBefore(home, { ecosystem: 'npm', name: '@example/x' })).toMatchObject({
      created: '2026-02-01T00:00:00Z',
    });
    expect(await acceptedBefore(home, { ecosystem: 'pypi', name: '@example/x' })).toBeUndefined();
  });

  it('is an error when it is damaged, not an absence', async () => {
    await rememberAccepted(home, server('1.0.0'));
    await writeFile(join(home.root, 'accepted', encodeURIComponent('npm:@example/x')), '{"version":1}');
    await expect(acceptedBefore(home, { ecosystem: 'npm', name: '@example/x' })).rejects.toMatchObject({
      code: 'record-invalid',
    });
  });
});
