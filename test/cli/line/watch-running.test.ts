import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { homeOf } from '../../../cli/line/home.ts';
import type { Watched } from '../../../cli/line/watch.ts';
import { watchRunning } from '../../../cli/line/watch-running.ts';
import { listServers, openSession, readDenied, type Session } from '../../../runner/index.ts';
import { DEFAULT_VETTING } from '../../../trust/index.ts';
import { type Finding, finding } from '../../../vetting/index.ts';
import { fixture } from '../../runner/fixture.ts';

let f: Awaited<ReturnType<typeof fixture>>;
const sessions: Session[] = [];

beforeEach(async () => {
  f = await fixture();
});
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.close().catch(() => undefined);
  await f.end();
});

async function start(): Promise<Session> {
  const session = await openSession(f.options);
  sessions.push(session);
  return session;
}

const ALL = { files: true, advisories: true };

/** What a watch of the locks found about the image that runs. */
function found(...refused: readonly Finding[]): Watched {
  return { name: 'fixture', digest: f.image.digest, findings: refused, refused, looked: ALL };
}

function watch(watched: readonly Watched[], stop: readonly string[] = []) {
  return watchRunning(f.options.runtime, watched, {
    home: homeOf({ MCP_BUILD_HOME: f.options.machine.state }),
    environment: { XDG_CONFIG_HOME: join(f.folder, 'config') },
    workspace: f.folder,
    rules: { ...DEFAULT_VETTING, stop: [...stop] },
    offline: true,
    now: new Date('2026-11-29T00:00:00Z'),
  });
}

const malware = finding('malware', 'npm:evil@1.0.0', 'Known malware', { id: 'MAL-2026-1' });

test('what runs and is refused is told, and stopped only where the policy says so', async () => {
  const { container } = await start();
  const told = await watch([found(malware)]);
  expect(told.servers).toMatchObject([{ name: 'fixture', containers: [container], stopped: [] }]);
  expect(told.servers[0]?.refused).toEqual([malware]);
  expect((await watch([found(malware)], ['too-new'])).servers[0]?.stopped).toEqual([]);
  expect((await listServers(f.options.runtime)).map(({ state }) => state)).toEqual(['running']);
});

test('a stopped image starts no more, by whoever verified it long ago, until nothing of it is refused', async () => {
  const session = await start();
  const { container } = session;
  const stopped = await watch([found(malware)], ['malware']);
  expect(stopped.servers).toMatchObject([{ stopped: [container] }]);
  await session.exited;
  expect(Object.keys(await readDenied(f.options.machine.state))).toEqual([f.image.digest]);
  await expect(start()).rejects.toMatchObject({ code: 'denied', exit: 3 });
  // Not looked at: still denied.
  await watch([], ['malware']);
  await expect(start()).rejects.toMatchObject({ code: 'denied' });
  // Nor where it could not be looked at: by no advisories, without its archives, or not at all.
  for (const looked of [{ ...ALL, advisories: false }, { ...ALL, files: false }, undefined]) {
    await watch([{ ...found(), looked }], ['malware']);
    expect(Object.keys(await readDenied(f.options.machine.state))).toEqual([f.image.digest]);
  }
  await watch([found()], ['malware']);
  expect(await readDenied(f.options.machine.state)).toEqual({});
  await start();
});

test('what was denied by the policy alone is allowed again without advisories', async () => {
  const policy = finding('not-allowed-any-more', 'fixture', 'Its image would not be started today');
  await start();
  await watch([found(policy)], ['not-allowed-any-more']);
  expect(Object.keys(await readDenied(f.options.machine.state))).toEqual([f.image.digest]);
  await watch([{ ...found(), looked: { ...ALL, advisories: false } }], ['not-allowed-any-more']);
  expect(await readDenied(f.options.machine.state)).toEqual({});
});

test('a list of denied images that can’t be read lets nothing start', async () => {
  await mkdir(f.options.machine.state, { recursive: true });
  await writeFile(join(f.options.machine.state, 'denied.json'), '{"version":1');
  await expect(start()).rejects.toMatchObject({ code: 'denied-unreadable', exit: 3 });
});
