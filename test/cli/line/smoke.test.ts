import { afterEach, describe, expect, test } from 'vitest';
import { homeOf } from '../../../cli/line/home.ts';
import { offerChanges, offerOf, type SmokeOptions, startFix, toldInSeveralWays } from '../../../cli/line/smoke.ts';
import { NO_PERMISSIONS, OFFER_LIMITS } from '../../../runner/index.ts';
import type { FakeOptions, Program } from '../../fakes/docker.ts';
import { type Behaviour, fakeServer } from '../../fakes/mcp-server.ts';
import { fixture } from '../../runner/fixture.ts';

let open: Awaited<ReturnType<typeof fixture>>[] = [];
afterEach(async () => {
  await Promise.all(open.map((one) => one.end()));
  open = [];
});

const server =
  (behaviour: Behaviour) =>
  async ({ stdin, stdout, killed }: Program) => {
    await Promise.race([fakeServer(behaviour, stdin, stdout), killed]);
    return 0;
  };

/** What a server in a fake container is recorded to offer, with a second for each of its answers. */
async function offered(fake: FakeOptions, options: Partial<SmokeOptions> = {}) {
  const made = await fixture(fake);
  open.push(made);
  const { store, image, folder, daemon } = made;
  return offerOf(
    { store, image, server: { name: 'fixture', version: '1.0.0' } },
    {
      home: homeOf({ MCP_BUILD_HOME: `${folder}/home` }),
      environment: { DOCKER_HOST: `unix://${daemon.socket}`, HOME: folder, XDG_RUNTIME_DIR: folder },
      permissions: NO_PERMISSIONS,
      values: {},
      args: [],
      progress: () => undefined,
      say: () => undefined,
      offerLimits: { ...OFFER_LIMITS, timeout: 1_000 },
      ...options,
    },
  );
}

const honest: Behaviour = { tools: () => [{ name: 'add', inputSchema: { type: 'object' } }] };

describe('a first look at a server', () => {
  test('gives it its time once it runs, however long its image takes to load', async () => {
    const offer = await offered({ program: server(honest), loadDelay: 2_500 });
    expect(offer.tools).toMatchObject([{ name: 'add' }]);
  });

  test('says that it ran out of time where it did', async () => {
    const mute = { instead: { initialize: 'silence', 'server/discover': 'silence' } } as const;
    const late = offered({ program: server(mute) });
    await expect(late).rejects.toMatchObject({ code: 'not-mcp' });
    await expect(late).rejects.toThrow('within 1 s');
  });

  test.each([
    ['not-mcp', { initialize: 'silence', 'server/discover': 'silence' }],
    ['offer-failed', { 'tools/list': { code: -32603, message: 'no' } }],
  ] as const)(
    'says what the server wrote of its error, however long the trace behind it: %s',
    async (code, instead) => {
      const trace = Array.from({ length: 30 }, (_, at) => `    at f${at} (/app/error.js:${at}:1)\n`).join('');
      const program = async (given: Program) => {
        await given.stderr(`starting\nError: API_KEY is required\n${trace}`);
        return server({ ...honest, instead })(given);
      };
      const refused = offered({ program });
      await expect(refused).rejects.toMatchObject({ code });
      await expect(refused).rejects.toThrow(/It wrote: Error: API_KEY is required \/ … \/ at f25 .* at f29 \(.*\)$/);
    },
  );

  test('says why it could not be started where it could not', async () => {
    const answer = (method: string, path: string) =>
      method === 'POST' && path.endsWith('/start') ? { status: 500, body: { message: 'no runtime' } } : undefined;
    await expect(offered({ program: server(honest), answer })).rejects.toMatchObject({ code: 'start-failed' });
  });
});

describe('what to do about a server that does not start', () => {
  const site = '/usr/local/lib/python3.13/dist-packages';
  const override = 'overrides: [{package: mcp, version: "<2", reason: written for mcp 1}]';

  // As servers that name no upper bound for `mcp` were seen to end.
  test.each([
    `  File "${site}/mcp/server/fastmcp.py", line 16, in <module>\n    raise ModuleNotFoundError(_MESSAGE, name=__name__)\nModuleNotFoundError: No module named 'mcp.server.fastmcp'. This is mcp 2.x, where FastMCP was renamed`,
    `  File "${site}/cli_mcp_server/server.py", line 425, in <module>\n    @server.list_tools()\nAttributeError: 'Server' object has no attribute 'list_tools'`,
  ])('it wants version 1 of its SDK: %#', (said) => {
    expect(startFix(said)).toContain(override);
  });

  test.each([
    'Error: API token appears to be invalid',
    `  File "${site}/mcp/server/fastmcp/tools/base.py", line 10, in <module>\n    from mcp.server.fastmcp.utilities.func_metadata import FuncMetadata\nImportError: cannot import name 'eval_type_backport'`,
  ])('or something else: %#', (said) => {
    expect(startFix(said)).not.toContain('package: mcp');
    expect(startFix(said)).toContain('--env');
  });
});

test('a name that is there several times is one thing that may have changed', () => {
  const offer = (...digests: readonly string[]) => ({
    tools: digests.map((digest) => ({ name: 'search', digest: `sha256:${digest}` as const, definition: {} })),
    prompts: [],
  });
  expect(offerChanges(offer('a', 'b'), offer('a', 'b'))).toEqual([]);
  expect(offerChanges(offer('a', 'b'), offer('a', 'c'))).toEqual(['changed tool: search']);
  expect(offerChanges(offer('a', 'b'), offer('c', 'b'))).toEqual(['changed tool: search']);
  expect(offerChanges(offer(), offer('a', 'b'))).toEqual(['new tool: search']);
  expect(offerChanges(offer('a', 'b'), offer())).toEqual(['tool gone: search']);
  expect(toldInSeveralWays(offer('a', 'b'))).toEqual(['search']);
  expect(toldInSeveralWays(offer('a', 'a'))).toEqual([]);
});
