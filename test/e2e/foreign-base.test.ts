import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Dockerd, testDocker } from './dockerd.ts';
import { cli, cliDone, type Workplace, workplace } from './harness/cli.ts';
import { describeWith } from './harness/needs.ts';

interface Built {
  readonly index: string;
  readonly layers: readonly { readonly name: string }[];
}

/** Any OCI image may be a base; here one that this project built, as a company's would be: a layout, named by digest. */
describeWith(['docker'], 'a base that is any image by digest', () => {
  let docker: Dockerd;
  let place: Workplace;
  let env: Record<string, string>;
  let base: string;

  beforeAll(async () => {
    docker = await testDocker();
    place = await workplace();
    env = { ...place.env, DOCKER_HOST: docker.host };
    await cliDone(['lock', 'pypi:mcp-server-time', '--name', 'time', '--platform', 'host'], { ...place, env });
    const built = await cliDone(['build', 'time', '--output', 'oci:base', '--json'], { ...place, env });
    base = `oci:base@${built.json<Built>().index}`;
  });

  afterAll(async () => {
    await place?.[Symbol.asyncDispose]();
    await docker?.stop();
  });

  test.each([
    ['pypi:mcp-server-fetch', ['fetch'], ['dependencies', 'server']],
    // Node comes as a layer of our own: no base has it in the version wanted.
    ['npm:@modelcontextprotocol/server-memory', ['read_graph'], ['runtime', 'dependencies', 'server']],
  ])('carries %s', async (source, tools, layers) => {
    await cliDone(['lock', source, '--name', 'server', '--platform', 'host', '--base', base], { ...place, env });
    const built = (await cliDone(['build', 'server', '--json'], { ...place, env })).json<Built>();
    expect(built.layers.map(({ name }) => name)).toEqual(expect.arrayContaining(layers));
    expect(built.layers.map(({ name }) => name)).not.toContain('base');
    const offered = (await cliDone(['test', 'server', '--json'], { ...place, env })).json<{ tools: string[] }>();
    expect(offered.tools).toEqual(expect.arrayContaining(tools));
    expect((await cliDone(['reproduce', 'server', '--json'], { ...place, env })).json()).toMatchObject({ same: true });
  });

  test.each([
    ['is not pinned', () => 'oci:base', 'base-unpinned', 2],
    ['is not there', () => `oci:base@sha256:${'a'.repeat(64)}`, 'not-found', 1],
  ])('is refused when it %s', async (_what, name, code, exit) => {
    const result = await cli(
      ['lock', 'pypi:mcp-server-fetch', '--name', 'refused', '--platform', 'host', '--base', name()],
      { ...place, env },
    );
    expect(result.stderr).toContain(`[${code}]`);
    expect(result.code).toBe(exit);
    expect(existsSync(join(place.cwd, 'lockfiles', 'refused'))).toBe(false);
  });

  test('is refused for a platform that it has no image for', async () => {
    const result = await cli(['lock', 'pypi:mcp-server-fetch', '--name', 'refused', '--base', base], { ...place, env });
    expect(result.stderr).toContain('[base-platform]');
    expect(result.code).toBe(1);
  });

  test('goes to Docker as an archive that the daemon loads', async () => {
    await cliDone(['build', 'time', '--output', 'docker-archive:time.tar'], { ...place, env });
    await cliDone(['build', 'time', '--output', 'docker'], { ...place, env });
    expect(existsSync(join(place.cwd, 'time.tar'))).toBe(true);
  });
});
