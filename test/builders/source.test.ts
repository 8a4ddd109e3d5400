import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultName, formatSource, parseServerName, parseSource } from '../../builders/index.ts';

describe('parseSource', () => {
  it.each([
    ['npm:server', { ecosystem: 'npm', name: 'server', range: '' }],
    ['npm:@scope/server@^1.2', { ecosystem: 'npm', name: '@scope/server', range: '^1.2' }],
    ['npm:server@latest', { ecosystem: 'npm', name: 'server', range: 'latest' }],
    ['npm:server@>=1 <2 || 3.x', { ecosystem: 'npm', name: 'server', range: '>=1 <2 || 3.x' }],
    ['pypi:MCP_Server.Time', { ecosystem: 'pypi', name: 'mcp-server-time', range: '' }],
    ['pypi:time==1.2.3', { ecosystem: 'pypi', name: 'time', range: '==1.2.3' }],
    ['pypi:time>=1, <2', { ecosystem: 'pypi', name: 'time', range: '>=1,<2' }],
    ['pypi:time@1.2.3', { ecosystem: 'pypi', name: 'time', range: '==1.2.3' }],
    ['pypi:time@latest', { ecosystem: 'pypi', name: 'time', range: '' }],
    ['pypi:mcp[cli]', { ecosystem: 'pypi', name: 'mcp', range: '[cli]' }],
    ['pypi:mcp[ WS, cli_x ]@1.2', { ecosystem: 'pypi', name: 'mcp', range: '[cli-x,ws]==1.2' }],
    ['pypi:mcp[cli]@latest', { ecosystem: 'pypi', name: 'mcp', range: '[cli]' }],
    ['pypi:mcp[cli] >= 1, < 2', { ecosystem: 'pypi', name: 'mcp', range: '[cli]>=1,<2' }],
  ])('reads %s', (text, expected) => {
    expect(parseSource(text)).toMatchObject(expected);
  });

  it.each([
    'server',
    'cargo:x',
    'npm:',
    'npm:@scope',
    'npm:@scope/',
    'npm:../x',
    'npm:a/b',
    'npm:.hidden',
    'npm:Upper',
    'npm:a;rm -rf',
    'npm:$(id)',
    'npm:a@git+ssh://h/x',
    'npm:a@https://h/x.tgz',
    'npm:a@file:../x',
    'npm:a@',
    'npm:a b',
    'npm:a\nb',
    'npm:a@1;id',
    'npm:a@`id`',
    'pypi:',
    'pypi:-x',
    'pypi:x;id',
    'pypi:x@git+https://h',
    'pypi:x==1;python_version>"3"',
    'pypi:x $(id)',
    'pypi:x==',
    'pypi:x[]',
    'pypi:x[a',
    'pypi:x[a;b]',
    'pypi:x[../a]',
    'pypi:x==1[a]',
    'pypi:x[a][b]',
    "pypi:x'",
    'npm:a%2f..%2fb',
    './server.json',
    'https://example.test/v0/servers/x',
    'file:x-1.0.0.tgz',
    'dist/x-1.0-py3-none-any.whl',
  ])('refuses %j', (text) => {
    expect(() => parseSource(text)).toThrowError(expect.objectContaining({ code: 'source-invalid', exit: 2 }));
  });

  it('never throws anything else, and what it takes reads the same again', () => {
    fc.assert(
      fc.property(fc.tuple(fc.constantFrom('npm:', 'pypi:', ''), fc.string({ maxLength: 40 })), ([prefix, rest]) => {
        try {
          const source = parseSource(prefix + rest);
          expect(parseSource(formatSource(source))).toEqual(source);
        } catch (error) {
          expect(error).toMatchObject({ code: 'source-invalid' });
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('names of servers', () => {
  it('come from the last segment of the package', () => {
    expect(defaultName(parseSource('npm:@modelcontextprotocol/server-memory'))).toBe('server-memory');
    expect(defaultName(parseSource('pypi:mcp-server-time'))).toBe('mcp-server-time');
    expect(parseServerName(defaultName(parseSource('npm:some_-server')))).toBe('some-server');
  });

  it.each(['', '..', 'a/b', 'A', 'a b', '-a', 'a-', 'a--b', 'x'.repeat(101), 'a;b', 'a\n'])('refuses %j', (text) => {
    expect(() => parseServerName(text)).toThrowError(expect.objectContaining({ code: 'name-invalid' }));
  });
});
