import { describe, expect, it } from 'vitest';
import { plan, readClientFile, rewrite, runWords } from '../../../cli/clients/index.ts';

const PROGRAM = { command: '/opt/node', args: ['/opt/mcp-build/cli/main.js'], env: {} };
const OPTIONS = {
  sources: {},
  taken: new Map<string, string>(),
  home: '/home/me',
  exists: (path: string) => path.startsWith('/srv'),
};

const SAMPLES: Readonly<Record<string, { file: string; text: string; sources: readonly string[] }>> = {
  'Claude Desktop on Windows': {
    file: 'claude_desktop_config.json',
    sources: ['npm:@modelcontextprotocol/server-filesystem', 'npm:@modelcontextprotocol/server-brave-search'],
    text: '\ufeff{\r\n\t"mcpServers": {\r\n\t\t"filesystem": {\r\n\t\t\t"command": "cmd",\r\n\t\t\t"args": ["/c", "npx", "-y", "@modelcontextprotocol/server-filesystem", "C:\\\\Users\\\\me\\\\Desktop"]\r\n\t\t},\r\n\t\t"brave-search": {\r\n\t\t\t"command": "C:\\\\Program Files\\\\nodejs\\\\npx.cmd",\r\n\t\t\t"args": [\r\n\t\t\t\t"-y",\r\n\t\t\t\t"@modelcontextprotocol/server-brave-search"\r\n\t\t\t],\r\n\t\t\t"env": { "BRAVE_API_KEY": "BSAxxxxxxxxxxxxxxxxxxxxxxxx" }\r\n\t\t}\r\n\t},\r\n\t"globalShortcut": ""\r\n}\r\n',
  },
  'VS Code with inputs': {
    file: '.vscode/mcp.json',
    sources: ['npm:@acme/github-mcp@1.4.0'],
    text: `{
  // asked for once
  "inputs": [
    { "type": "promptString", "id": "github_token", "description": "Token", "password": true, },
  ],
  "servers": {
    "github": {
      "type": "stdio",
      "command": "npx", // Node's
      "args": ["-y", "@acme/github-mcp@1.4.0", "--root", "\${workspaceFolder}"],
      "env": { "GITHUB_TOKEN": "\${input:github_token}" }, /* never written */
    },
    "remote": { "type": "http", "url": "https://mcp.example.test/mcp" },
  },
}
`,
  },
  'Claude Code with projects': {
    file: '.claude.json',
    sources: ['pypi:mcp-server-git', 'npm:x'],
    text: '{"numStartups":3,"projects":{"/srv/repo":{"allowedTools":[],"mcpServers":{"git":{"type":"stdio","command":"uvx","args":["mcp-server-git","--repository","/srv/repo"],"env":{}}}}},"mcpServers":{"x":{"command":"bunx","args":["x"]}}}',
  },
  Zed: {
    file: 'settings.json',
    sources: ['pypi:mcp-server-time', 'npm:y'],
    text: '{\n  "theme": "One Dark",\n  "context_servers": {\n    "time": { "source": "custom", "command": "uvx", "args": ["mcp-server-time"], "env": {} },\n    "old": {\n      "command": {\n        "path": "npx",\n        "args": ["-y", "y"],\n        "env": null\n      },\n      "settings": {}\n    },\n    "extension": { "settings": { "key": 1 } },\n  },\n}\n',
  },
  Codex: {
    file: 'config.toml',
    sources: ['npm:@upstash/context7-mcp', 'pypi:mcp-server-fetch'],
    text: 'model = "o"\n\n[mcp_servers.context7]\ncommand = "npx"\nargs = ["-y", "@upstash/context7-mcp"] # docs\n\n[mcp_servers.fetch]\nargs = [\n  "mcp-server-fetch",\n]\ncommand = "uvx"\n[mcp_servers.fetch.env]\nHTTP_TIMEOUT = "30"\n\n[mcp_servers.remote]\nurl = "https://mcp.example.test"\n',
  },
  Goose: {
    file: 'config.yaml',
    sources: ['npm:z@2'],
    text: 'GOOSE_MODEL: x\nextensions:\n  developer:\n    enabled: true\n    type: builtin\n  zed:\n    cmd: npx   # was uvx\n    args:\n    - -y\n    - z@2\n    enabled: true\n    envs:\n      LOG: debug\n    type: stdio\n',
  },
  'a proxy’s config.json': {
    file: 'config.json',
    sources: ['pypi:mcp-server-fetch', 'npm:@acme/maps'],
    text: '{\n  "mcpProxy": { "baseURL": "https://mcp.example.test", "addr": ":9090", "name": "p", "version": "1", "options": { "authTokens": ["t"] } },\n  "mcpServers": {\n    "fetch": { "command": "uvx", "args": ["mcp-server-fetch"] },\n    "maps": { "command": "npx", "args": ["-y", "@acme/maps"], "env": { "MAPS_KEY": "<YOUR_KEY>" }, "options": { "toolFilter": { "mode": "block", "list": ["x"] } } },\n    "sse": { "url": "https://x.example.test/sse" }\n  }\n}\n',
  },
  'a proxy’s first form': {
    file: 'config.json',
    sources: ['npm:x'],
    text: '{"server":{"baseURL":"https://mcp.example.test"},"clients":{"x":{"type":"stdio","config":{"command":"npx","args":["-y","x"]}},"y":{"type":"sse","config":{"url":"https://y.example.test"}}}}',
  },
  opencode: {
    file: 'opencode.json',
    sources: ['npm:x'],
    text: '{ "mcp": { "x": { "type": "local", "command": ["npx", "-y", "x"], "environment": { "A": "1" } } } }',
  },
};

describe.each(Object.entries(SAMPLES))('%s', (_, { file, text, sources }) => {
  const { syntax, places } = readClientFile(text, file);
  const planned = plan(places, OPTIONS);
  const rewrites = planned.flatMap((one) =>
    one.kind === 'server' && one.entry ? [{ entry: one.entry, start: one.start }] : [],
  );
  const written = rewrite(text, file, syntax, rewrites, PROGRAM);

  it('is understood', () => {
    expect(planned.flatMap((one) => (one.kind === 'server' ? [one.server.source] : [])).sort()).toEqual(
      [...sources].sort(),
    );
    expect(
      planned.filter((one) => one.kind === 'refused' && !['remote-server', 'entry-invalid'].includes(one.code)),
    ).toEqual([]);
  });

  it('starts each server through mcp-build, and is then as it was but for that', () => {
    for (const { entry, start } of rewrites) {
      const again = readClientFile(written, file).places.find(
        (place) => place.kind === 'entry' && place.entry.name === entry.name,
      );
      expect(again).toMatchObject({
        entry: { command: '/opt/node', args: ['/opt/mcp-build/cli/main.js', ...runWords(start)], env: entry.env },
      });
    }
    expect(plan(readClientFile(written, file).places, OPTIONS).filter(({ kind }) => kind === 'already')).toHaveLength(
      rewrites.length,
    );
  });

  it('keeps every byte around what changed', () => {
    const masked = (some: string) =>
      syntax.change(
        some,
        rewrites.flatMap(({ entry: { path, shape } }) =>
          [shape.command, ...(shape.args === 'argv' ? [] : [shape.args])].map((field) => ({
            path: [...path, ...field],
            value: '',
          })),
        ),
      );
    expect(written).not.toBe(text);
    expect(masked(written)).toBe(masked(text));
  });

  it('copies no value that may be a secret', () => {
    const said = JSON.stringify(planned.flatMap((one) => (one.kind === 'server' ? [one.server] : [])));
    expect(said).not.toMatch(/BSAx|YOUR_KEY|input:/);
  });
});

describe('plan', () => {
  const one = (server: object, name = 's') =>
    plan(readClientFile(JSON.stringify({ mcpServers: { [name]: server } }), 'f.json').places, OPTIONS)[0];

  it('gives a server the folders its arguments name, and the hosts of its URLs', () => {
    const found = one({
      command: 'npx',
      args: [
        'x',
        '/srv/a',
        '--db=/srv/b',
        '/srv/a/below',
        '/nowhere',
        'https://api.example.test/v1',
        'http://localhost:3000',
      ],
    });
    expect(found).toMatchObject({
      start: { volumes: ['/srv/a:rw', '/srv/b:rw'], network: ['api.example.test:443'] },
      notes: [expect.anything(), expect.anything(), expect.stringContaining('localhost')],
    });
  });

  it('passes variables by name, and moves what stood in the command to the client’s own', () => {
    const text =
      '{"mcpServers":{"s":{"command":"docker","args":["run","-i","-e","TOKEN","-e","URL=https://u:p@db.example.test","mcp/time"]}}}';
    const { places, syntax } = readClientFile(text, 'f.json');
    const [found] = plan(places, OPTIONS);
    if (found?.kind !== 'server' || !found.entry) throw new Error('not a server');
    expect(found.server.secrets).toEqual(['URL', 'TOKEN']);
    expect(found.server.env).toEqual({});
    const written = rewrite(text, 'f.json', syntax, [{ entry: found.entry, start: found.start }], PROGRAM);
    expect(JSON.parse(written)).toEqual({
      mcpServers: {
        s: {
          command: '/opt/node',
          args: [
            '/opt/mcp-build/cli/main.js',
            'run',
            'pypi:mcp-server-time',
            '--allow-net',
            'db.example.test:443',
            '--env',
            'URL',
            '--env',
            'TOKEN',
          ],
          env: { URL: 'https://u:p@db.example.test' },
        },
      },
    });
  });

  it('keeps names apart that collide', () => {
    const text = JSON.stringify({
      mcpServers: {
        'My Server': { command: 'npx', args: ['a'] },
        my_server: { command: 'npx', args: ['b'] },
        '✨': { command: 'npx', args: ['@x/c'] },
        'my-server': { command: 'npx', args: ['a'] },
      },
    });
    const taken = new Map([['c', 'npm:other']]);
    const names = plan(readClientFile(text, 'f.json').places, { ...OPTIONS, taken }).map(
      (planned) => planned.kind === 'server' && planned.server.name,
    );
    expect(names).toEqual(['my-server', 'my-server-2', 'c-2', 'my-server']);
  });

  it.each([
    ['LOG_LEVEL', 'debug', true],
    ['PORT', '8080', true],
    ['BASE_URL', 'https://api.example.test', true],
    ['BASE_URL', 'https://user:pw@api.example.test', false],
    ['API_KEY', 'debug', false],
    ['THING', 'sk-9f8a7d6f5a4s3d2f1a', false],
    ['GITHUB_PERSONAL_ACCESS_TOKEN', 'x', false],
    ['HOME_FOLDER', '/home/me', false],
  ])('%s=%s may be committed: %s', (name, value, may) => {
    const found = one({ command: 'npx', args: ['x'], env: { [name]: value } });
    expect(found).toMatchObject({
      server: may ? { env: { [name]: value }, secrets: [] } : { env: {}, secrets: [name] },
    });
  });

  it.each([
    [{ command: 5 }, 'entry-invalid'],
    [{ command: 'npx', args: 'x' }, 'entry-invalid'],
    [{ command: 'npx', args: [{}] }, 'entry-invalid'],
    [{ command: ['npx', 'x'] }, 'entry-invalid'],
    [{}, 'entry-invalid'],
    ['npx', 'entry-invalid'],
    [{ url: 'https://example.test' }, 'remote-server'],
  ])('%j is refused', (server, code) => {
    expect(one(server as object)).toMatchObject({ kind: 'refused', code });
  });

  it('takes a source for what can’t be told', () => {
    const { places } = readClientFile(
      '{"mcpServers":{"s":{"command":"node","args":["/x.js"],"env":{"A_KEY":"b"}}}}',
      'f.json',
    );
    expect(plan(places, { ...OPTIONS, sources: { s: 'npm:x' } })[0]).toMatchObject({
      server: { source: 'npm:x', args: [], secrets: ['A_KEY'] },
      notes: [expect.stringContaining('arguments')],
    });
  });

  it('reads a catalogue of images', () => {
    const text =
      'version: 2\nname: c\nregistry:\n  time:\n    title: Time\n    image: mcp/time@sha256:9c46a918633fb474bf8035e3ee90ebac6bcf2b18ccb00679ac4c179cba0ebfcf\n    allowHosts:\n      - api.example.test:443\n    env:\n      - name: TZ\n        value: "{{time.tz}}"\n      - name: LEVEL\n        value: debug\n    secrets:\n      - name: time.key\n        env: TIME_KEY\n  other:\n    image: example.test/own/x\n  remote:\n    type: remote\n    remote:\n      url: https://example.test\n';
    const found = plan(readClientFile(text, 'catalog.yaml').places, OPTIONS);
    expect(found).toMatchObject([
      {
        server: {
          source: 'pypi:mcp-server-time',
          env: { LEVEL: 'debug' },
          secrets: ['TIME_KEY', 'TZ'],
          network: ['api.example.test:443'],
        },
      },
      { kind: 'refused', code: 'foreign-image' },
      { kind: 'refused', code: 'remote-server' },
    ]);
  });
});

describe('readClientFile', () => {
  it.each([
    ['{"a": 1}', 'x.json', 'client-file-unknown'],
    ['[]', 'x.json', 'client-file-unknown'],
    ['{"mcpServers": []}', 'x.json', 'client-file-unknown'],
    ['{"mcpServers": {', 'x.json', 'client-file-invalid'],
    ['', 'x.json', 'client-file-invalid'],
    ['a = [', 'x.toml', 'client-file-invalid'],
    ['plain text', 'x.txt', 'client-file-unknown'],
  ])('%j is refused', (text, file, code) => {
    expect(() => readClientFile(text, file)).toThrow(expect.objectContaining({ code }));
  });
});
