import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import {
  defaultsOf,
  manifestJsonSchema,
  parseManifest,
  repositoryOf,
  selectServers,
  serverEntry,
  testValuesOf,
} from '../../../../cli/line/manifest/index.ts';
import { isFault, type McpBuildError } from '../../../../errors/index.ts';

const FILE = 'mcp-build.yaml';

const fault = (work: () => unknown): McpBuildError => {
  try {
    work();
  } catch (error) {
    if (isFault(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
};
const code = (name: string) => expect.objectContaining({ code: name });
/** A manifest with one server that has these lines. */
const withLines = (...lines: string[]) =>
  `version: 1\nservers:\n  a:\n    source: npm:a\n${lines.map((line) => `    ${line}\n`).join('')}`;

describe('a manifest', () => {
  it('is read with what it says of all servers filled in', () => {
    const manifest = parseManifest(
      `version: 1
registry: localhost:5000/mcp
policy: policy.yaml
signer: {keyless: true, signingConfig: signing.json}
releaseAge: 12h
platforms: [linux/arm64]
tags: [latest]
spdx: true
servers:
  tickets:
    source: pypi:acme-tickets>=2,<3
    bin: tickets
    args: [--read-only, 3]
    env: {LEVEL: 3, ON: true}
    secrets: [TOKEN, {name: OTHER, description: why, required: false}]
    permissions: {network: [tickets.example.com], volumes: [{path: /data, mode: rw}]}
    test: {args: [--dry], env: {TOKEN: dummy}}
    system: [git]
    overrides: [{package: urllib3, version: 2.6.3, reason: it is known to be better}]
    releaseAgeExceptions: [{package: "@a/b", version: 1.2.3, reason: it fixes an outage, expires: 2027-01-31}]
    bytecode: false
  other:
    source: npm:@acme/other
    releaseAge: 0
    platforms: [linux/amd64]
    test: {skip: needs a phone beside it}
`,
      'folder/mcp-build.yaml',
    );
    expect(manifest).toMatchObject({
      policy: expect.stringMatching(/\/folder\/policy\.yaml$/),
      signer: { kind: 'keyless', signingConfig: expect.stringMatching(/\/folder\/signing\.json$/) },
      spdx: true,
      tags: ['latest'],
    });
    expect(serverEntry(manifest, 'tickets')).toEqual({
      name: 'tickets',
      source: { ecosystem: 'pypi', name: 'acme-tickets', range: '>=2,<3' },
      bin: 'tickets',
      args: ['--read-only', '3'],
      env: { LEVEL: '3', ON: 'true' },
      secrets: [
        { name: 'TOKEN', required: true },
        { name: 'OTHER', description: 'why', required: false },
      ],
      permissions: {
        network: ['tickets.example.com:443'],
        volumes: [{ path: '/data', mode: 'rw' }],
        environment: ['LEVEL', 'ON', 'TOKEN', 'OTHER'],
      },
      test: { kind: 'run', args: ['--dry'], env: { TOKEN: 'dummy' } },
      system: ['git'],
      overrides: [{ package: 'urllib3', version: '2.6.3', reason: 'it is known to be better' }],
      releaseAge: 0.5,
      releaseAgeExceptions: [
        { package: '@a/b', version: '1.2.3', reason: 'it fixes an outage', expires: Date.parse('2027-01-31') },
      ],
      platforms: ['linux/arm64'],
      bytecode: false,
    });
    expect(serverEntry(manifest, 'other')).toMatchObject({
      releaseAge: 0,
      platforms: ['linux/amd64'],
      test: { kind: 'skip', reason: 'needs a phone beside it' },
    });
  });

  it('tells every problem with its place, and what was meant', () => {
    const error = fault(() =>
      parseManifest(
        'version: 1\nregistri: x\nservers:\n  a:\n    sauce: npm:a\n  b:\n    source: "npm:a b"\n    permissions:\n      netwrok: none\n',
        FILE,
      ),
    );
    expect(error).toMatchObject({ code: 'manifest-invalid', exit: 2 });
    const lines = error.message.split('\n');
    expect(lines.map((line) => line.split(': ')[0])).toEqual([`${FILE}:2:1`, `${FILE}:5:5`, `${FILE}:9:7`]);
    expect(lines.map((line) => /did you mean (\w+)\?/.exec(line)?.[1])).toEqual(['registry', 'source', 'network']);
  });

  it.each([
    ['an unknown version', 'version: 2\nservers: {}\n', '1:10'],
    ['no version', 'servers: {}\n', '1:1'],
    ['a list', '- a\n', '1:1'],
    ['nothing', '', '1:1'],
    ['a key twice', 'version: 1\nservers: {}\nservers: {}\n', '3:1'],
    ['broken YAML', 'version: 1\nservers: [\n', '3:1'],
    ['a name that is no path segment', 'version: 1\nservers:\n  ../a: {source: npm:a}\n', '3:3'],
    ['a server without a source', 'version: 1\nservers:\n  a: {}\n', '3:3'],
    ['a source that is a URL', withLines().replace('npm:a', 'https://example.test/a'), '4:13'],
    ['a source that is a file', withLines().replace('npm:a', 'file:a-1.0.0.tgz'), '4:13'],
    ['a source that is a server.json', withLines().replace('npm:a', './server.json'), '4:13'],
    ['a file above the manifest', withLines('file: ../a-1.0.0.tgz'), '5:11'],
    ['a file with an absolute path', withLines('file: /a-1.0.0.tgz'), '5:11'],
    ['a file that is no package', withLines('file: a.zip'), '5:11'],
    ['a variable in a file', withLines(`file: "\${A}.tgz"`), '5:11'],
    ['a variable in a source', withLines().replace('npm:a', `"npm:a@\${V}"`), '4:13'],
    ['a variable without an end', withLines(`args: ["\${A"]`), '5:12'],
    ['an override without a reason', withLines('overrides: [{package: b, version: "1"}]'), '5:17'],
    ['a reason that says nothing', withLines('overrides: [{package: b, version: "1", reason: so}]'), '5:52'],
    ['a base without a digest', withLines('base: registry.example.test/base:1'), '5:11'],
    ['a secret with a value', withLines('secrets: ["TOKEN=abc"]'), '5:15'],
    ['a variable twice', withLines('secrets: [A, A]'), '5:18'],
    ['a volume that is relative', withLines('permissions: {volumes: [{path: 3}]}'), '5:36'],
    ['two signers', `signer: {key: a, exec: b}\n${withLines()}`, '1:1'],
  ])('is refused for %s', (_what, text, place) => {
    const error = fault(() => parseManifest(text, FILE));
    expect(error.code).toBe('manifest-invalid');
    expect(error.message.startsWith(`${FILE}:${place}: `), error.message).toBe(true);
  });

  it.each(['privileged: true', 'network: host', 'cap_add: [ALL]', 'devices: [/dev/kvm]'])(
    'is refused for asking for %s, with its own code',
    (line) => {
      const error = fault(() => parseManifest(withLines('permissions:', `  ${line}`), FILE));
      expect(error).toMatchObject({ code: 'permission-refused', exit: 3 });
      expect(error.message).toContain(`${FILE}:6:7`);
    },
  );

  it.each([
    'env: {GITHUB_TOKEN: abc}',
    'env: {db_password: abc}',
    `env: {URL: "https://x/\${API_KEY}"}`,
    `env: {X: ghp_${'a'.repeat(36)}}`,
    `args: [--token, "\${ACCESS_TOKEN}"]`,
    `args: [--key=AKIA${'A'.repeat(16)}]`,
  ])('does not publish a secret: %s', (line) => {
    expect(() => parseManifest(withLines(line), FILE)).toThrow(code('manifest-secret'));
  });

  it('lets a test have a dummy for a secret', () => {
    parseManifest(withLines('secrets: [TOKEN]', 'test: {env: {TOKEN: dummy}}'), FILE);
  });

  it('does not unfold aliases without end', () => {
    let text = 'version: 1\nx0: &x0 [1,1,1,1,1,1,1,1,1,1]\n';
    for (let at = 1; at < 9; at++)
      text += `x${at}: &x${at} [${Array(10)
        .fill(`*x${at - 1}`)
        .join(',')}]\n`;
    expect(() => parseManifest(text, FILE)).toThrow(code('manifest-invalid'));
    expect(() => parseManifest(`# ${'x'.repeat(1024 * 1024)}`, FILE)).toThrow(code('manifest-invalid'));
  });

  it('is what its schema for editors describes', async () => {
    const file = new URL('../../../../cli/line/manifest/manifest.schema.json', import.meta.url);
    expect(JSON.parse(await readFile(file, 'utf8'))).toEqual(manifestJsonSchema());
  });

  it('is documented by an example that is one', async () => {
    const text = await readFile(new URL('../../../../docs/manifest.md', import.meta.url), 'utf8');
    const example = /```yaml\n([\s\S]*?)```/.exec(text)?.[1] ?? '';
    expect(parseManifest(example, FILE).servers.map(({ name }) => name)).toEqual(['memory', 'tickets']);
  });
});

describe('variables', () => {
  const { servers, ...manifest } = parseManifest(
    `registry: "\${REGISTRY:-localhost:5000}/mcp"\n${withLines(`args: ["\${A}$$\{A}"]`, `env: {B: "\${B:-b}"}`, 'test: {env: {C: c}}')}`,
    FILE,
  );
  const entry = servers[0]!;

  it('are replaced when the value is needed', () => {
    expect(defaultsOf(entry, { A: 'x', B: '' })).toEqual({ args: [`x\${A}`], env: { B: 'b' } });
    expect(testValuesOf(entry, { A: 'x', B: 'y' })).toEqual({ args: [`x\${A}`], env: { B: 'y', C: 'c' } });
    expect(() => defaultsOf(entry, {})).toThrow(code('variable-unset'));
    expect(repositoryOf(manifest, 'a', {})).toMatchObject({ registry: 'localhost:5000', repository: 'mcp/a' });
    expect(repositoryOf(manifest, 'a', { REGISTRY: 'r.example.test' })).toMatchObject({ registry: 'r.example.test' });
  });

  it.each(['r.example.test/mcp:1', 'oci:folder', 'mcp', 'r.example.test/mcp@sha256:00'])(
    'make no registry of %s',
    (registry) => {
      expect(() => repositoryOf({ ...manifest, registry }, 'a', {})).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^(reference|digest|tag)-invalid$/) }),
      );
    },
  );

  it('are not a registry where none is named', () => {
    expect(() => repositoryOf({ file: FILE }, 'a', {})).toThrow(code('registry-missing'));
  });
});

describe('servers', () => {
  const manifest = parseManifest('version: 1\nservers:\n  b: {source: "npm:b"}\n  a: {source: "npm:a"}\n', FILE);

  it('are chosen by name, in the manifest’s order, each once', () => {
    const names = (...words: string[]) => selectServers(manifest, words).map(({ name }) => name);
    expect(names()).toEqual(['b', 'a']);
    expect(names('a', 'b', 'a')).toEqual(['b', 'a']);
    expect(() => names('a', 'memory')).toThrow(code('server-unknown'));
  });
});
