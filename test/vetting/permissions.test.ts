import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pasteable, reviewServers, reviewText } from '../../cli/line/audit-permissions.ts';
import { homeOf } from '../../cli/line/home.ts';
import { recordUse, usedBy } from '../../cli/line/usage.ts';
import { metrics, openAuditLog, recorder } from '../../gateway/index.ts';
import { NO_PERMISSIONS, type Permissions } from '../../runner/index.ts';
import { reviewPermissions, type Used } from '../../vetting/index.ts';

const now = new Date('2026-11-29T00:00:00Z');
const wide: Permissions = {
  network: ['api.example.test:443', '*.cdn.example.test:443', 'old.example.test:443'],
  volumes: [{ path: '/data', mode: 'rw' }],
  environment: ['TOKEN', 'SPARE'],
};
const used = (reached: readonly string[], more: Partial<Used> = {}): Used => ({
  since: '2026-01-01T00:00:00Z',
  starts: [{ at: '2026-11-01T00:00:00Z', permissions: wide }],
  reached: new Map(reached.map((one) => [one, '2026-11-01T00:00:00Z'])),
  refused: new Map(),
  unread: 0,
  ...more,
});
const review = (permissions: Permissions, seen: Used, rest: Partial<Parameters<typeof reviewPermissions>[0]> = {}) =>
  reviewPermissions({
    ...{ server: 'notes', permissions, from: 'mcp-build.yaml', used: seen, called: undefined, tools: undefined },
    needed: { variables: ['TOKEN'], hosts: [], indirect: undefined },
    ...{ days: 90, now },
    ...rest,
  });
const said = ({ findings }: ReturnType<typeof review>) => findings.map(({ evidence }) => evidence);

describe('a review of permissions', () => {
  it('names destinations and variables that were never needed, and what would have been enough', () => {
    const found = review(wide, used(['api.example.test:443', 'a.cdn.example.test:443']));
    expect(said(found)).toEqual([
      ['old.example.test:443'],
      ['*.cdn.example.test:443', 'a.cdn.example.test:443'],
      ['SPARE'],
    ]);
    expect(found.narrower).toEqual({
      network: ['api.example.test:443', 'a.cdn.example.test:443'],
      volumes: wide.volumes,
      environment: ['TOKEN'],
    });
  });

  it('finds nothing where everything was used', () => {
    const exact: Permissions = { network: ['api.example.test:443'], volumes: [], environment: ['TOKEN'] };
    const found = review(exact, used(['api.example.test:443']));
    expect(found.findings).toEqual([]);
    expect(found.narrower).toBeUndefined();
  });

  it('does not take silence for proof: never seen, never read, or read by names put together', () => {
    const unseen = review(wide, used([], { since: undefined, starts: [] }));
    expect(unseen.findings).toEqual([]);
    expect(unseen.unknown).toHaveLength(1);
    const quiet = review({ ...wide, network: 'none' }, used([]), { needed: undefined });
    expect(quiet.findings).toEqual([]);
    expect(quiet.narrower).toBeUndefined();
    const indirect = { variables: [], hosts: [], indirect: 'pypi:pydantic-settings@2 puts their names together' };
    expect(review({ ...wide, network: 'none' }, used([]), { needed: indirect }).findings).toEqual([]);
    // Everything may be reached, past the proxy that would see it.
    const open = review({ ...NO_PERMISSIONS, network: 'all' }, used([]));
    expect(open.findings).toEqual([]);
    expect(open.unknown).not.toEqual([]);
  });

  it('names a server that was not started for as long as is looked back', () => {
    const idle = review(wide, used([], { starts: [] }));
    expect(idle.findings).toHaveLength(1);
    expect(idle.narrower).toEqual(NO_PERMISSIONS);
  });

  it('may be pasted, whatever is in a path', () => {
    expect(
      pasteable({ network: ['a.test:443'], volumes: [{ path: '/a "b": c', mode: 'ro' }], environment: [] }),
    ).toEqual(['permissions:', '  network: ["a.test:443"]', '  volumes:', '    - { path: "/a \\"b\\": c", mode: ro }']);
  });
});

describe('what is recorded of a server', () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'mcp-build-usage-'));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  it('is what it was given and where it went, and is read again together with the gateway’s log', async () => {
    const home = homeOf({ MCP_BUILD_HOME: root });
    const clock = () => now.getTime() - 86_400_000;
    const start = { server: { name: 'notes' }, image: { digest: 'sha256:aa' }, permissions: wide };
    const use = recordUse(home, start, clock);
    const decision = { at: '', port: 443, reason: 'permitted', allowed: true } as const;
    for (let at = 0; at < 50; at++) use({ ...decision, host: 'api.example.test' });
    use({ ...decision, host: 'bad.example.test', allowed: false, reason: 'not-permitted' });
    const seen = await usedBy(home, 'notes', new Date(0));
    expect([...seen.reached.keys(), ...seen.refused.keys()]).toEqual(['api.example.test:443', 'bad.example.test:443']);
    expect(seen.starts).toHaveLength(1);

    const log = await openAuditLog({ folder: join(root, 'audit') });
    const watching = recorder({ metrics: metrics(), log });
    const call = { client: { id: 'x', name: 'phone' }, server: 'notes', digest: 'sha256:aa', bytes: 1 };
    await new Promise<void>((resolve) => {
      watching.begin({ ...call, method: 'tools/call', target: 'search' } as never, () => resolve());
    });
    await log.close();
    const [found] = await reviewServers([], {
      ...{ home, environment: {}, workspace: root, days: 90, now: new Date(Date.now() + 1000) },
    });
    expect([...(found?.called?.targets ?? [])]).toEqual([['search', 1]]);
    expect(found?.permissions).toEqual(wide);
    expect(reviewText(found!)).toContain('bad.example.test:443');
  });

  it('says nothing where it can’t be read, and counts that', async () => {
    const home = homeOf({ MCP_BUILD_HOME: root });
    recordUse(home, { server: { name: '../notes' }, image: { digest: 'x' }, permissions: wide });
    const { appendFile, readdir } = await import('node:fs/promises');
    const [file, ...others] = await readdir(join(root, 'usage'));
    expect(others).toEqual([]);
    await appendFile(join(root, 'usage', file!), '{"kind":"reached"}\nnot json\n');
    expect(await usedBy(home, '../notes', new Date(0))).toMatchObject({ unread: 2, reached: new Map() });
  });
});
