import { describe, expect, test } from 'vitest';
import { offerChanges, startFix, toldInSeveralWays } from '../../../cli/line/smoke.ts';

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
