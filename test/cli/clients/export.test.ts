import { describe, expect, it } from 'vitest';
import { CLIENTS, type Client, exportInto, fileFor, readClientFile, type Started } from '../../../cli/clients/index.ts';

const SERVERS: readonly Started[] = [
  {
    name: 'files',
    command: '/opt/node',
    args: ['/opt/cli/main.js', 'run', 'npm:f', '--', 'C:\\a "b"'],
    env: { A: '1' },
    secrets: ['API_KEY'],
  },
  { name: 'time.x', command: '/opt/node', args: ['/opt/cli/main.js', 'run', 'pypi:t'], env: {}, secrets: [] },
];
const names = Object.keys(CLIENTS) as Client[];
const fileName = (client: Client) => (client === 'codex' ? 'config.toml' : 'config.json');

describe.each(names)('export %s', (client) => {
  it('is a file that import reads', () => {
    const { places } = readClientFile(fileFor(client, SERVERS), fileName(client));
    expect(places).toMatchObject(
      SERVERS.map(({ name, command, args }) => ({ kind: 'entry', entry: { name, command, args } })),
    );
  });

  it('names a secret and holds none', () => {
    expect(fileFor(client, SERVERS)).toContain('API_KEY');
  });

  it('goes into a file that has others', () => {
    const one = SERVERS.slice(0, 1);
    const before = fileFor(client, SERVERS.slice(1));
    const { places } = readClientFile(exportInto(before, 'f', client, one), fileName(client));
    expect(places.map((place) => place.kind === 'entry' && place.entry.name).sort()).toEqual(['files', 'time.x']);
  });

  it('makes one of an empty one', () => {
    expect(exportInto(' \n', 'f', client, SERVERS)).toBe(fileFor(client, SERVERS));
  });
});

describe('exportInto', () => {
  it('keeps what is there, comments and a list of inputs included', () => {
    const before =
      '{\r\n\t// mine\r\n\t"inputs": [\r\n\t\t{ "id": "x" }\r\n\t],\r\n\t"servers": {\r\n\t\t"old": { "url": "https://example.test" },\r\n\t},\r\n}\r\n';
    const after = exportInto(before, 'mcp.json', 'vscode', SERVERS);
    expect(after).toContain(
      '\t// mine\r\n\t"inputs": [\r\n\t\t{ "id": "x" },\r\n\t\t{ "type": "promptString", "id": "files-api_key"',
    );
    expect(after).toContain(
      '\t\t"old": { "url": "https://example.test" },\r\n\t\t"files": {\r\n\t\t\t"type": "stdio",\r\n',
    );
    expect(after.endsWith('},\r\n}\r\n')).toBe(true);
    // Once more changes nothing.
    expect(exportInto(after, 'mcp.json', 'vscode', SERVERS)).toBe(after);
  });

  it.each([
    ['{"mcpServers": {', 'cursor', 'client-file-not-rewritable'],
    ['[]', 'cursor', 'client-file-not-rewritable'],
    ['[mcp_servers.files]\ncommand = "x"\n', 'codex', 'name-taken'],
    ['a = [', 'codex', 'client-file-not-rewritable'],
  ] as const)('%j is refused', (text, client, code) => {
    expect(() => exportInto(text, 'f', client, SERVERS)).toThrow(expect.objectContaining({ code }));
  });
});
