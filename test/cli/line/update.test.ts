import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { markdownOf } from '../../../cli/line/diff/index.ts';
import { lockEntry } from '../../../cli/line/entry.ts';
import { homeOf } from '../../../cli/line/home.ts';
import { readManifest } from '../../../cli/line/manifest/index.ts';
import { updateServer } from '../../../cli/line/update.ts';
import { DEFAULT_VETTING } from '../../../trust/index.ts';
import { type FakeRegistry, npmRegistry } from '../../fakes/npm-registry.ts';

const server = (version: string, registryManifest: Readonly<Record<string, unknown>>) => ({
  ...{ name: 'hello-mcp', version, registryManifest, files: { 'cli.js': '#!/usr/bin/env node\n' } },
  manifest: { bin: { 'hello-mcp': 'cli.js' }, license: 'MIT' },
});
const person = (name: string) => ({ name, email: `${name}@example.test` });

/** As it is when the server is locked, and a mirror of it weeks later: what an address said is kept for a while. */
let early: FakeRegistry;
let late: FakeRegistry;
let folder: string;
beforeAll(async () => {
  early = await npmRegistry();
  late = await npmRegistry();
  folder = await mkdtemp(join(tmpdir(), 'mcp-build-update-'));
});
afterAll(async () => {
  await early.close();
  await late.close();
  await rm(folder, { recursive: true, force: true });
});

it('tells who published a newer version without having maintained the one before', async () => {
  const first = server('1.0.0', { maintainers: [person('ann')], _npmUser: person('ann') });
  early.publish(first);
  const workspace = join(folder, 'work');
  await mkdir(workspace);
  await writeFile(join(workspace, 'mcp-build.yaml'), 'version: 1\nservers:\n  hello: {source: npm:hello-mcp}\n');
  const environment = {
    HOME: folder,
    PATH: '/nonexistent',
    MCP_BUILD_HOME: join(folder, 'home'),
    npm_config_registry: early.url,
    npm_config_globalconfig: join(folder, 'none'),
  };
  const settings = { home: homeOf(environment), environment, workspace, now: new Date(), progress: () => undefined };
  const entry = (await readManifest(workspace)).servers[0]!;
  await lockEntry(entry, { ...settings, rules: DEFAULT_VETTING });

  late.publish(
    first,
    server('1.1.0', { maintainers: ['ann <ann@example.test>', person('eve`')], _npmUser: person('eve`') }),
  );
  const update = await updateServer(entry, {
    ...settings,
    ...{ rules: DEFAULT_VETTING, registry: {}, offline: false, write: false, test: false },
    environment: { ...environment, npm_config_registry: late.url },
  });
  expect(update).toMatchObject({
    status: 'available',
    difference: {
      findings: [{ code: 'new-maintainer', severity: 'medium', subject: 'npm:hello-mcp@1.1.0' }],
    },
  });
  const told = 'difference' in update ? markdownOf([update.difference], String) : '';
  expect(told).toContain('#### New findings');
  expect(told).toMatch(/- \*\*medium\*\* `new-maintainer` `npm:hello-mcp@1.1.0` `+.*Published by eve/);
});

it('replaces a release that its registry no longer has, on a machine that never had it', async () => {
  early.publish(server('1.0.0', {}));
  const gone = await npmRegistry();
  try {
    const workspace = join(folder, 'gone');
    await mkdir(workspace);
    await writeFile(join(workspace, 'mcp-build.yaml'), 'version: 1\nservers:\n  hello: {source: npm:hello-mcp}\n');
    const on = (machine: string, registry: string) => {
      const environment = {
        ...{ HOME: folder, PATH: '/nonexistent', MCP_BUILD_HOME: join(folder, machine) },
        ...{ npm_config_registry: registry, npm_config_globalconfig: join(folder, 'none') },
      };
      return { home: homeOf(environment), environment, workspace, now: new Date(), progress: () => undefined };
    };
    const entry = (await readManifest(workspace)).servers[0]!;
    await lockEntry(entry, { ...on('one', early.url), rules: DEFAULT_VETTING });
    gone.publish(server('1.1.0', {}));
    const update = await updateServer(entry, {
      ...on('another', gone.url),
      ...{ rules: DEFAULT_VETTING, registry: {}, offline: false, write: false, test: false },
    });
    expect(update).toMatchObject({ status: 'available' });
  } finally {
    await gone.close();
  }
});
