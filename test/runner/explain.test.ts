import { afterEach, describe, expect, test } from 'vitest';
import { explainSession, NO_PERMISSIONS, openSession } from '../../runner/index.ts';
import type { FakeOptions } from '../fakes/docker.ts';
import { fixture } from './fixture.ts';

let open: Awaited<ReturnType<typeof fixture>>[] = [];
afterEach(async () => {
  await Promise.all(open.map((one) => one.end()));
  open = [];
});
async function setup(options: FakeOptions = {}) {
  const made = await fixture(options);
  open.push(made);
  return made;
}

describe('an explanation', () => {
  test('asks the daemon what it can do, and nothing else', async () => {
    const { options, daemon, guarded } = await setup();
    const { walls } = await explainSession(options);
    expect(daemon.requests.every((line) => /^GET \/(_ping|info|version)/.test(line))).toBe(true);
    expect(daemon.images.size).toBe(0);
    expect(guarded).toEqual([]);
    const said = Object.fromEntries(walls.map(({ wall, setting }) => [wall, setting]));
    expect(said).toMatchObject({
      capabilities: expect.stringContaining('none'),
      'root file system': 'read-only',
      mounts: 'none',
      network: 'a loopback and nothing else',
      memory: expect.stringContaining('512 MiB'),
    });
  });

  test('is of the very request that a start sends', async () => {
    const { options, daemon } = await setup();
    const { request } = await explainSession(options);
    const session = await openSession(options);
    const [container] = daemon.containers.values();
    const sent = container?.spec as unknown as Record<string, unknown>;
    const { Labels: _ours, ...wanted } = request as unknown as Record<string, unknown>;
    expect(JSON.parse(JSON.stringify(sent))).toMatchObject(JSON.parse(JSON.stringify(wanted)));
    await session.close();
  });

  test.each([
    ['none', NO_PERMISSIONS, 'none'],
    ['all', { ...NO_PERMISSIONS, network: 'all' as const }, '<bridge of mcp-build>'],
    ['destinations', { ...NO_PERMISSIONS, network: ['api.example.test:443'] }, 'container:<its forwarder>'],
  ])('of a network: %s', async (_what, permissions, mode) => {
    const { options } = await setup();
    const { request, walls } = await explainSession({ ...options, permissions });
    expect(request.HostConfig.NetworkMode).toBe(mode);
    if (_what === 'destinations')
      expect(walls.find(({ wall }) => wall === 'network')?.setting).toContain('api.example.test:443');
  });

  test('says what the daemon can not do', async () => {
    const { options } = await setup({ info: { SecurityOptions: [], SwapLimit: false } });
    const { lacks } = await explainSession(options);
    expect(lacks).toContainEqual(expect.objectContaining({ id: 'seccomp', refused: true }));
    expect(lacks).toContainEqual(expect.objectContaining({ id: 'swap', refused: false }));
  });

  test('holds no secret, and refuses what a start would', async () => {
    const { options } = await setup();
    const permissions = { ...NO_PERMISSIONS, environment: ['TOKEN'] };
    await expect(explainSession({ ...options, environment: { TOKEN: 's3cret' } })).rejects.toMatchObject({
      code: 'environment-undeclared',
    });
    await expect(
      explainSession({ ...options, permissions: { ...permissions, volumes: [{ path: '/etc', mode: 'ro' }] } }),
    ).rejects.toMatchObject({ code: 'permission-refused' });
    const files = [{ target: '/config/config.json', content: 's3cret' }];
    expect(JSON.stringify(await explainSession({ ...options, files }))).not.toContain('s3cret');
  });
});
