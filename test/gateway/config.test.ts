import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isFault } from '../../errors/index.ts';
import { loadConfig, parseConfig, parseDuration, readCommand } from '../../gateway/index.ts';

const parse = (value: unknown, environment = {}) => parseConfig(JSON.stringify(value), 'config.json', environment);
const one = (entry: object, proxy: object = {}) =>
  parse({ mcpProxy: { addr: ':9090', ...proxy }, mcpServers: { it: entry } }).servers[0];

const sample = (name: string) => readFileSync(join(import.meta.dirname, `../fixtures/tbxark/${name}.json`), 'utf8');

function codeOf(run: () => unknown): { readonly code: string; readonly input: string | undefined } | undefined {
  try {
    run();
  } catch (error) {
    if (isFault(error)) return { code: error.code, input: error.input };
    throw error;
  }
  return undefined;
}

describe('durations', () => {
  test.each([
    ['30s', 30_000],
    ['1m30s', 90_000],
    ['1.5h', 5_400_000],
    ['250ms', 250],
    ['0', 0],
    [1_000_000_000, 1000],
    [0, 0],
  ])('%s is %d ms', (text, milliseconds) => expect(parseDuration(text)).toBe(milliseconds));

  test.each(['', '30', 's', '-1s', '1s ', '1 s', 'forever', Number.NaN, -1])('%s is none', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });
});

describe('what an entry runs', () => {
  test.each([
    ['npx', ['-y', '@scope/server@1.2.3', '/data'], 'npm:@scope/server@1.2.3', ['/data']],
    ['npx', ['--yes', '--', 'server', '--flag'], 'npm:server', ['--flag']],
    ['/usr/bin/npx', ['-p', 'pkg', 'other-bin', 'x'], 'npm:pkg', ['x']],
    ['npx.cmd', ['--package=pkg', '--', 'bin', '-v'], 'npm:pkg', ['-v']],
    ['bunx', ['server'], 'npm:server', []],
    ['pnpm', ['dlx', 'server', 'x'], 'npm:server', ['x']],
    ['uvx', ['mcp-server-time', '--local-timezone=UTC'], 'pypi:mcp-server-time', ['--local-timezone=UTC']],
    ['uvx', ['mcp-server-time@2025.9.25'], 'pypi:mcp-server-time==2025.9.25', []],
    ['uvx', ['mcp-server-time@latest'], 'pypi:mcp-server-time', []],
    ['uvx', ['--from', 'pkg[extra]>=1', 'command', 'x'], 'pypi:pkg[extra]>=1', ['x']],
    ['uvx', ['--python', '3.12', 'pkg'], 'pypi:pkg', []],
    ['uv', ['tool', 'run', 'pkg'], 'pypi:pkg', []],
    ['pipx', ['run', 'pkg'], 'pypi:pkg', []],
    ['mcp-build', ['run', 'npm:server', '--', '/x'], 'npm:server', ['/x']],
  ])('%s %j is %s', (command, args, source, own) => {
    expect(readCommand(command, args)).toMatchObject({ kind: 'package', source, args: own });
  });

  test('docker run names an image, its arguments and variables', () => {
    const args = [
      'run',
      '-i',
      '--rm',
      '-e',
      'KEY',
      '--env=B=2',
      '--name',
      'x',
      'registry.example.test/i@sha256:00',
      'go',
    ];
    expect(readCommand('docker', args)).toEqual({
      kind: 'image',
      image: 'registry.example.test/i@sha256:00',
      args: ['go'],
      environment: ['KEY', 'B=2'],
    });
  });

  test.each([
    ['node', ['server.js']],
    ['python', ['-m', 'server']],
    ['sh', ['-c', 'npx server']],
    ['npx', ['-c', 'curl']],
    ['npx', []],
    ['npx', ['./server']],
    ['npx', ['github:a/b']],
    ['npx', ['a/b']],
    ['uvx', ['--from', 'git+https://example.test/x', 'x']],
    ['uvx', ['--with', 'other', 'x']],
    ['docker', ['run', '-v', '/:/host', 'image']],
    ['docker', ['run', '--privileged', 'image']],
    ['docker', ['exec', 'x']],
    ['uv', ['run', 'server.py']],
    ['npm', ['run', 'server']],
    ['mcp-build', ['run', './server.json']],
    ['mcp-build', ['run', 'https://example.test/v0/servers/x', '--package', 'npm']],
    ['mcp-build', ['run', 'file:x-1.0.0.tgz']],
    ['mcp-build', ['run', 'x-1.0-py3-none-any.whl']],
  ])('%s %j is refused, with a way out', (command, args) => {
    const target = readCommand(command, args);
    expect(target).toMatchObject({ kind: 'none' });
    expect(target.kind === 'none' && target.fix.length > 10).toBe(true);
    expect(codeOf(() => one({ command, args }))?.code).toBe('command-refused');
  });
});

describe('TBXark’s configuration', () => {
  test('of the second generation: options are inherited, but for the filter and the switch', () => {
    const config = parse({
      mcpProxy: {
        baseURL: 'https://mcp.example.test/base/',
        addr: ':9090',
        name: 'Proxy',
        version: '1.0.0',
        type: 'streamable-http',
        options: {
          panicIfInvalid: true,
          logEnabled: false,
          authTokens: ['Default'],
          toolFilter: { mode: 'block', list: ['x'] },
          disabled: true,
          pingInterval: '15s',
          reconnectInterval: 2e9,
        },
      },
      mcpServers: {
        github: {
          command: 'npx',
          args: ['-y', '@modelcontextprotocol/server-github'],
          env: { TOKEN: 'x' },
          options: { toolFilter: { mode: 'allow', list: ['a'] } },
        },
        fetch: { command: 'uvx', args: ['mcp-server-fetch'], options: { panicIfInvalid: false, authTokens: ['Own'] } },
        amap: { url: 'https://mcp.example.test/sse?key=1', transportType: 'sse', headers: { 'X-A': 'b' } },
        off: { command: 'npx', args: ['-y', 'off'], options: { disabled: true } },
      },
    });
    expect(config.baseURL?.pathname).toBe('/base/');
    expect(config.hosts).toEqual(['mcp.example.test']);
    expect(config.servers.map(({ name }) => name)).toEqual(['github', 'fetch', 'amap']);
    const [github, fetch, amap] = config.servers;
    expect(github).toMatchObject({ tokens: ['Default'], required: true, logged: false, ping: 15_000, reconnect: 2000 });
    expect(github?.rules.filter).toEqual({ mode: 'allow', list: ['a'] });
    expect(github?.behind).toMatchObject({
      kind: 'contained',
      permissions: { network: 'none', environment: ['TOKEN'] },
    });
    expect(fetch).toMatchObject({ tokens: ['Own'], required: false, rules: { readOnly: false } });
    expect(fetch?.rules.filter).toBeUndefined();
    expect(amap?.behind).toMatchObject({ kind: 'remote', transport: 'sse', headers: { 'X-A': 'b' } });
  });

  test('of the first generation', () => {
    const config = parse({
      server: { baseURL: 'http://localhost:9090', addr: ':9090', name: 'P', version: '1', globalAuthTokens: ['G'] },
      clients: {
        fetch: { type: 'stdio', config: { command: 'uvx', args: ['mcp-server-fetch'] } },
        own: { type: 'stdio', config: { command: 'npx', args: ['-y', 'x'] }, authTokens: ['O'], panicIfInvalid: true },
        far: { type: 'sse', config: { url: 'https://mcp.example.test/sse', headers: { A: 'b' } } },
      },
    });
    expect(config.servers).toMatchObject([
      { name: 'fetch', tokens: ['G'], behind: { target: { source: 'pypi:mcp-server-fetch' } } },
      { name: 'own', tokens: ['O', 'G'], required: true },
      { name: 'far', behind: { kind: 'remote', transport: 'sse' } },
    ]);
  });

  test.each(['config', 'documented'])('as its repository shows it: %s.json', (name) => {
    const { servers, ...config } = parseConfig(sample(name), name, {});
    expect(config).toMatchObject({ address: { kind: 'tcp', port: 9090 }, hosts: ['mcp.example.com'] });
    const [github, fetch, amap] = servers;
    expect(github).toMatchObject({
      name: 'github',
      tokens: [name === 'config' ? 'DefaultTokens' : 'DefaultToken'],
      required: false,
      logged: true,
      rules: { filter: { mode: 'block', list: ['create_or_update_file'] } },
      behind: {
        target: { source: 'npm:@modelcontextprotocol/server-github', args: [] },
        environment: { GITHUB_PERSONAL_ACCESS_TOKEN: '<YOUR_TOKEN>' },
      },
    });
    expect(fetch).toMatchObject({
      name: 'fetch',
      tokens: [name === 'config' ? 'SpecificTokens' : 'SpecificToken'],
      required: true,
      logged: false,
      behind: { target: { source: 'pypi:mcp-server-fetch', args: [] }, environment: {} },
    });
    expect(fetch?.rules.filter).toBeUndefined();
    // Switched off in the documentation's.
    if (name === 'documented') expect(amap).toBeUndefined();
    else expect(amap).toMatchObject({ behind: { kind: 'remote', url: 'https://mcp.amap.com/sse?key=<YOUR_TOKEN>' } });
  });

  test('as its README showed it in the first generation', () => {
    const { servers, ...config } = parseConfig(sample('first-generation'), 'config.json', {});
    expect(config).toMatchObject({ address: { kind: 'tcp', port: 9090 }, hosts: ['my-mcp.example.com'] });
    expect(servers).toMatchObject([
      {
        name: 'fetch',
        tokens: ['HelloWorld', 'AdminToken'],
        required: true,
        logged: true,
        behind: { target: { source: 'pypi:mcp-server-fetch', args: [] }, environment: {} },
      },
      {
        name: 'amap',
        tokens: ['AdminToken'],
        required: false,
        behind: { kind: 'remote', url: 'https://router.mcp.so/sse/xxxxx', transport: 'sse' },
      },
    ]);
  });

  test('variables are put in after parsing: quotes do no harm, a lone $ stays', () => {
    const key = ['$', '{KEY}'].join('');
    const entry = { command: 'npx', args: ['x', 'a$b', '$HOME', `$${key}`], env: { KEY: key } };
    const text = JSON.stringify({ mcpProxy: { addr: ':1' }, mcpServers: { it: entry } });
    const behind = parseConfig(text, 'c', { KEY: 'qu"o\\te$1' }).servers[0]?.behind;
    expect(behind).toMatchObject({ environment: { KEY: 'qu"o\\te$1' }, target: { args: ['a$b', '$HOME', key] } });
    expect(codeOf(() => parseConfig(text, 'c', {}))).toEqual({ code: 'environment-missing', input: 'KEY' });
  });

  test.each([
    ['mcpServers.it.options.toolFilters', { command: 'npx', args: ['x'], options: { toolFilters: {} } }],
    ['mcpServers.it.cmd', { cmd: 'npx' }],
    ['mcpServers.it.options.pingInterval', { command: 'npx', args: ['x'], options: { pingInterval: 'soon' } }],
    ['mcpServers.it', { command: 'npx', url: 'https://example.test' }],
    ['mcpServers.it', { args: ['x'] }],
    ['mcpServers.it', { command: 'npx', args: ['x'], transportType: 'sse' }],
    ['mcpServers.it.url', { url: 'file:///etc/passwd' }],
    ['mcpServers.it.url', { url: 'example' }],
    ['mcpServers.it.url', { url: 'https://me:secret@example.test/mcp' }],
  ])('%s is named where it is wrong', (input, entry) => {
    expect(codeOf(() => one(entry))).toEqual({ code: 'config-invalid', input });
  });

  test.each([
    ['clients.it.config.url', { url: 'file:///etc/passwd' }, {}],
    ['clients.it.config.url', { url: 'https://me@example.test/sse' }, {}],
    ['server.baseURL', { url: 'https://example.test/sse' }, { baseURL: 'example' }],
  ])('%s of the first generation, too', (input, config, server) => {
    expect(codeOf(() => parse({ server, clients: { it: { type: 'sse', config } } }))).toEqual({
      code: 'config-invalid',
      input,
    });
  });

  test.each(['../x', 'a/b', '', '_healthz', 'a b'])('"%s" can’t be a server’s name', (name) => {
    const given = { mcpProxy: {}, mcpServers: { [name]: { command: 'npx', args: ['x'] } } };
    expect(codeOf(() => parse(given))?.code).toBe('config-invalid');
  });

  test.each([':99999', 'example.test', 'unix:relative', '9090'])('"%s" is no address', (addr) => {
    expect(codeOf(() => one({ command: 'npx', args: ['x'] }, { addr }))?.input).toBe('mcpProxy.addr');
  });

  test('what a permission may never be, it may not be here', () => {
    const entry = { command: 'npx', args: ['x'], permissions: { privileged: true } };
    expect(codeOf(() => one(entry))?.code).toBe('permission-refused');
  });

  test('what is no JSON is said with its file', () => {
    expect(codeOf(() => parseConfig('{', 'my.json', {}))).toEqual({ code: 'config-invalid', input: 'my.json' });
  });
});

describe('where a configuration comes from', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gateway-config-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test('a file with tokens that others may read is refused', async () => {
    const path = join(folder, 'config.json');
    await writeFile(path, '{"mcpProxy":{"options":{"authTokens":["x"]}}}');
    await chmod(path, 0o644);
    await expect(loadConfig(path)).rejects.toMatchObject({
      code: 'config-readable-by-others',
      fix: expect.stringContaining('chmod 600') as string,
    });
    await chmod(path, 0o600);
    await expect(loadConfig(path)).resolves.toContain('authTokens');
  });

  test('a file without secrets may be read by anybody', async () => {
    const path = join(folder, 'open.json');
    await writeFile(path, '{"mcpServers":{}}');
    await chmod(path, 0o644);
    await expect(loadConfig(path)).resolves.toBe('{"mcpServers":{}}');
  });

  test('one that is missing, and one that is too large', async () => {
    await expect(loadConfig(join(folder, 'none'))).rejects.toMatchObject({ code: 'config-unreadable' });
    await writeFile(join(folder, 'large'), 'x'.repeat(9 * 1024 * 1024));
    await expect(loadConfig(join(folder, 'large'))).rejects.toMatchObject({ code: 'too-large' });
  });

  test('an address is asked; its password and query stay out of what is said', async () => {
    const server = createServer((request, response) => {
      if (request.url?.startsWith('/ok')) return response.end('{"a":1}');
      if (request.url?.startsWith('/moved')) return response.writeHead(302, { location: '/ok' }).end();
      response.writeHead(500).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await expect(loadConfig(`${base}/ok?key=1`)).resolves.toBe('{"a":1}');
    for (const path of ['/moved', '/broken?token=secret']) {
      const error = await loadConfig(base + path).catch((caught: Error) => caught);
      expect(error).toMatchObject({ code: 'config-unreadable', exit: 5 });
      expect(String((error as Error).message)).not.toContain('secret');
    }
    server.close();
  });
});
