import { describe, expect, test } from 'vitest';
import { readServerJson, SERVER_JSON_LIMIT, type ServerJson } from '../../builders/index.ts';

const npm = {
  registryType: 'npm',
  identifier: '@example/server',
  version: '1.2.3',
  transport: { type: 'stdio' },
};
const pypi = { ...npm, registryType: 'pypi', identifier: 'Example_Server', version: '2.0.1' };
const document = (packages: readonly unknown[], more: object = {}) => ({
  $schema: 'https://example.test/schemas/2025-12-11/server.schema.json',
  name: 'io.github.example/server',
  description: 'An example',
  version: '1.2.3',
  packages,
  ...more,
});
const read = (value: unknown, wanted?: string): ServerJson =>
  readServerJson(
    value instanceof Uint8Array ? value : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
    'server.json',
    wanted,
  );
const launch = (more: object) => read(document([{ ...npm, ...more }])).launch;
const refused = (code: string) => expect.objectContaining({ code });

describe('the package of a server.json', () => {
  test('is one version of it, as its registry spells it', () => {
    expect(read(document([npm])).source).toEqual({ ecosystem: 'npm', name: '@example/server', range: '1.2.3' });
    expect(read(document([pypi])).source).toEqual({ ecosystem: 'pypi', name: 'example-server', range: '==2.0.1' });
  });

  test("is found in a registry's answer, too", () => {
    expect(read({ server: document([npm]), _meta: {} }).source.name).toBe('@example/server');
  });

  test('is chosen by its registry, its name or both', () => {
    const both = document([npm, pypi, { ...npm, registryType: 'oci', identifier: 'example.test/x:1' }]);
    for (const word of ['npm', '@example/server', 'npm:@example/server'])
      expect(read(both, word).source.ecosystem).toBe('npm');
    expect(read(both, 'pypi').source.ecosystem).toBe('pypi');
    expect(() => read(both)).toThrow(refused('package-ambiguous'));
    expect(() => read(both, 'oci')).toThrow(refused('package-missing'));
  });

  test('needs no choice where the others can not be built', () => {
    const http = { ...pypi, transport: { type: 'streamable-http', url: 'http://localhost' } };
    expect(read(document([npm, http])).source.ecosystem).toBe('npm');
    expect(() => read(document([http]))).toThrow(refused('package-missing'));
    expect(() => read(document([], { remotes: [{ type: 'sse', url: 'https://example.test' }] }))).toThrow(
      refused('package-missing'),
    );
  });

  test.each<[string, unknown]>([
    ['nothing', ''],
    ['no JSON', '{'],
    ['no object', '7'],
    ['null', 'null'],
    ['a list', '[]'],
    ['another schema', document([npm], { $schema: 'https://example.test/schemas/2025-07-09/server.schema.json' })],
    ['no schema', document([npm], { $schema: undefined })],
    ['a name without a namespace', document([npm], { name: 'server' })],
    ['a range', document([{ ...npm, version: '^1.0.0' }])],
    ['a tag', document([{ ...npm, version: 'latest' }])],
    ['no version', document([{ ...npm, version: undefined }])],
    ['a field that nobody knows', document([{ ...npm, installScript: 'rm -rf' }])],
    ['an argument of an unknown kind', document([{ ...npm, packageArguments: [{ type: 'shell', value: 'x' }] }])],
    [
      'a field of an argument that nobody knows',
      document([{ ...npm, packageArguments: [{ type: 'positional', eval: '1' }] }]),
    ],
    ['a variable that is none', document([{ ...npm, environmentVariables: [{ name: 'A=B' }] }])],
    [
      'too many arguments',
      document([{ ...npm, packageArguments: Array(201).fill({ type: 'positional', value: 'x' }) }]),
    ],
    ['more bytes than are read', ' '.repeat(SERVER_JSON_LIMIT + 1)],
    ['bytes that are no text', Buffer.from('{"name":"\xff"}', 'latin1')],
  ])('is refused with %s', (_, value) => {
    expect(() => read(value)).toThrow(refused('server-json-invalid'));
  });

  test.each(['@Example/../x', 'a b', '--registry=x', '../x', '@example/server@1'])(
    'has the name of one, not %s',
    (identifier) => {
      expect(() => read(document([{ ...npm, identifier }]))).toThrow(refused('source-invalid'));
    },
  );
});

describe('how it is started', () => {
  const positional = (more: object) => ({ type: 'positional', ...more });
  const named = (name: string, more: object = {}) => ({ type: 'named', name, ...more });

  test('fixed arguments first, defaults that a user may replace, and what only a user knows', () => {
    const found = launch({
      packageArguments: [
        positional({ value: 'serve' }),
        named('--stdio', { value: '' }),
        named('--level=', { value: 'info' }),
        named('--port', { default: '8080', description: 'a port' }),
        positional({ valueHint: 'folder', isRequired: true, description: 'what it may see' }),
        positional({ value: 'late' }),
      ],
    });
    expect(found.args).toEqual(['serve', '--stdio', '--level=info']);
    expect(found.defaults).toEqual(['--port', '8080']);
    expect(found.wanted).toEqual([
      { name: 'folder', description: 'what it may see', required: true, secret: false },
      { name: 'late', required: false, secret: false },
    ]);
  });

  test('variables are filled in where they are known, and braces that name none are kept', () => {
    const { args, defaults, wanted } = launch({
      packageArguments: [
        positional({ value: '{"a":{x}}', variables: { x: { value: '1' } } }),
        named('--url', { value: 'http://{host}/', variables: { host: { default: 'localhost' } } }),
        named('--token', { value: 'Bearer {token}', variables: { token: { isRequired: true, isSecret: true } } }),
      ],
    });
    expect(args).toEqual(['{"a":1}']);
    expect(defaults).toEqual(['--url', 'http://localhost/']);
    expect(wanted).toEqual([{ name: '--token', required: true, secret: true }]);
  });

  test('a variable of the prototype is none', () => {
    expect(launch({ packageArguments: [positional({ value: '{constructor}', variables: {} })] }).args).toEqual([
      '{constructor}',
    ]);
  });

  test('variables of the environment: set, left to the user, and never a secret in an image', () => {
    const { environment } = launch({
      environmentVariables: [
        { name: 'MODE', value: 'stdio' },
        { name: 'LEVEL', default: 'info', choices: ['info', 'debug'] },
        { name: 'API_KEY', isRequired: true, isSecret: true, description: 'from your account' },
        { name: 'TOKEN', isSecret: true, value: 'published by accident' },
      ],
    });
    expect(environment).toEqual([
      { name: 'MODE', required: false, secret: false, value: 'stdio' },
      { name: 'LEVEL', required: false, secret: false, value: 'info' },
      { name: 'API_KEY', description: 'from your account', required: true, secret: true },
      { name: 'TOKEN', required: false, secret: true },
    ]);
  });

  test.each(['PATH', 'LD_PRELOAD', 'NODE_OPTIONS', 'PYTHONPATH', 'https_proxy', 'SSL_CERT_FILE'])(
    'it never sets %s',
    (name) => {
      expect(() => launch({ environmentVariables: [{ name, value: 'x' }] })).toThrow(
        refused('server-json-unsupported'),
      );
      expect(launch({ environmentVariables: [{ name }] }).environment).toHaveLength(1);
    },
  );

  test('a variable twice is refused', () => {
    expect(() => launch({ environmentVariables: [{ name: 'A' }, { name: 'A', value: '1' }] })).toThrow(
      refused('server-json-unsupported'),
    );
  });

  test.each([
    [[named('-y')]],
    [[positional({ value: '-y' }), positional({ value: '@example/server@1.2.3' })]],
    [[named('--package', { value: '@example/server' })]],
    [[named('--from', { value: 'example-server==2.0.1' })]],
  ])('what is said to npx or uvx and means nothing is left out: %j', (runtimeArguments) => {
    const from = JSON.stringify(runtimeArguments).includes('example-server') ? pypi : npm;
    expect(read(document([{ ...from, runtimeArguments }])).launch.args).toEqual([]);
  });

  test.each([
    [[named('--python', { value: '3.9' })]],
    [[named('--require', { value: './x.js' })]],
    [[named('--package', { value: 'other' })]],
    [[positional({ value: 'other' })]],
    [[positional({})]],
    [[named('-y', { value: 'other' })]],
  ])('what would change it is refused: %j', (runtimeArguments) => {
    expect(() => launch({ runtimeArguments })).toThrow(refused('server-json-unsupported'));
  });
});
