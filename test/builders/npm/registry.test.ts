import { writeFile } from 'node:fs/promises';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseSource } from '../../../builders/index.ts';
import { npm } from '../../../builders/npm/index.ts';
import { readPackument } from '../../../builders/npm/packument.ts';
import { McpBuildError } from '../../../errors/index.ts';
import type { Fault } from '../../fakes/npm-registry.ts';
import { BOTH, filesOf, server, world } from './world.ts';

/** A registry that fails in one way, always or for its first answers on one path. */
async function failing(fault: Fault, times = Number.POSITIVE_INFINITY, path = '/hello-mcp') {
  const w = await world({ fault: (asked, count) => (asked.path === path && count <= times ? fault : undefined) });
  w.registry.publish(server());
  return w;
}

describe('a registry that fails', () => {
  test.each<[string, Fault, string]>([
    ['500', { kind: 'status', status: 500 }, 'registry-unavailable'],
    ['503', { kind: 'status', status: 503, headers: { 'retry-after': '0' } }, 'registry-unavailable'],
    ['429', { kind: 'status', status: 429 }, 'registry-unavailable'],
    ['401', { kind: 'status', status: 401 }, 'registry-unauthorized'],
    ['403', { kind: 'status', status: 403 }, 'registry-unauthorized'],
    ['418', { kind: 'status', status: 418 }, 'registry-invalid'],
    ['a page', { kind: 'body', type: 'text/html', text: '<html>Log in</html>' }, 'registry-invalid'],
    ['nothing', { kind: 'body', type: 'application/json', text: '' }, 'registry-invalid'],
    ['null', { kind: 'body', type: 'application/json', text: 'null' }, 'registry-invalid'],
    ['a list', { kind: 'body', type: 'application/json', text: '[]' }, 'registry-invalid'],
    ['an error as success', { kind: 'body', type: 'application/json', text: '{"error":"no"}' }, 'registry-invalid'],
    [
      'another package',
      { kind: 'body', type: 'application/json', text: '{"name":"x","versions":{}}' },
      'registry-invalid',
    ],
    ['half an answer', { kind: 'cut', after: 20 }, 'registry-unavailable'],
    ['half an answer, then silence', { kind: 'stall', after: 20 }, 'registry-unavailable'],
    ['a circle', { kind: 'redirect', to: '/hello-mcp' }, 'registry-unavailable'],
    ['elsewhere', { kind: 'redirect', to: 'file:///etc/passwd' }, 'registry-invalid'],
  ])('%s', async (_what, fault, code) => {
    await using w = await failing(fault);
    await expect(w.resolve('npm:hello-mcp')).rejects.toMatchObject({ code, exit: 5 });
  });

  test.each<[string, Fault]>([
    ['500', { kind: 'status', status: 500 }],
    ['half an answer', { kind: 'cut', after: 20 }],
    ['silence', { kind: 'stall', after: 20 }],
  ])('%s once is tried again', async (_what, fault) => {
    await using w = await failing(fault, 1);
    expect((await w.resolve('npm:hello-mcp')).version).toBe('1.0.0');
  });

  test('an optional dependency that can’t be asked for is not taken for absent', async () => {
    await using w = await world({
      fault: ({ path }) => (path === '/maybe' ? { kind: 'status', status: 500 } : undefined),
    });
    w.registry.publish(server({ manifest: { optionalDependencies: { maybe: '1' } } }), {
      name: 'maybe',
      version: '1.0.0',
    });
    await expect(w.resolve('npm:hello-mcp')).rejects.toMatchObject({ code: 'registry-unavailable', exit: 5 });
  });

  test('nobody there', async () => {
    await using w = await world();
    const options = await w.configured('registry=http://127.0.0.1:1/\nfetch-retries=0\n');
    await expect(npm.resolve(parseSource('npm:hello-mcp'), BOTH, options)).rejects.toMatchObject({
      code: 'registry-unavailable',
    });
  });

  test('an error shows no credentials', async () => {
    await using w = await world();
    const options = await w.configured('registry=http://me:secret@127.0.0.1:1/?key=secret\nfetch-retries=0\n');
    const error = await npm.resolve(parseSource('npm:hello-mcp'), BOTH, options).catch((e: McpBuildError) => e);
    expect(error).toBeInstanceOf(McpBuildError);
    expect(JSON.stringify({ ...(error as McpBuildError), message: (error as McpBuildError).message })).not.toContain(
      'secret',
    );
  });
});

describe('the user’s configuration', () => {
  test('tokens go to their registry, for documents and tarballs', async () => {
    await using w = await world({ token: 's3cret' });
    w.registry.publish(server());
    await expect(w.resolve('npm:hello-mcp')).rejects.toMatchObject({ code: 'registry-unauthorized' });
    const host = new URL(w.registry.url).host;
    const options = await w.configured(`registry=${w.registry.url}\n//${host}/:_authToken=s3cret\n`);
    expect((await npm.resolve(parseSource('npm:hello-mcp'), BOTH, options)).version).toBe('1.0.0');
  });

  test('a variable in .npmrc is the user’s', async () => {
    await using w = await world({ token: 'from-env' });
    w.registry.publish(server());
    const host = new URL(w.registry.url).host;
    const options = await w.configured(`registry=${w.registry.url}\n//${host}/:_authToken=\${MY_TOKEN}\n`);
    const environment = { ...options.environment, MY_TOKEN: 'from-env' };
    expect((await npm.resolve(parseSource('npm:hello-mcp'), BOTH, { ...options, environment })).version).toBe('1.0.0');
    expect(Object.keys(environment)).toHaveLength(Object.keys(options.environment).length + 1);
  });

  test('a scope has its own registry, which the lock names by the scope', async () => {
    await using w = await world();
    await using company = await world({ token: 'company' });
    company.registry.publish({ name: '@acme/util', version: '1.0.0' });
    w.registry.publish(server({ dependencies: { '@acme/util': '1' } }), { name: '@acme/util', version: '9.0.0' });
    const host = new URL(company.registry.url).host;
    const options = await w.configured(
      `registry=${w.registry.url}\n@acme:registry=${company.registry.url}\n//${host}/:_authToken=company\n`,
    );
    const resolution = await npm.resolve(parseSource('npm:hello-mcp'), BOTH, options);
    expect(filesOf(resolution)[0]).toMatchObject({
      name: '@acme/util',
      version: '1.0.0',
      file: 'util-1.0.0.tgz',
      index: '@acme',
    });
    expect(w.registry.asked.filter(({ authorization }) => authorization !== undefined)).toEqual([]);
    expect(w.registry.asked.some(({ path }) => path.includes('acme'))).toBe(false);
  });

  test('a project’s .npmrc counts only for a workspace that was named', async () => {
    await using w = await world();
    await using stranger = await world();
    w.registry.publish(server());
    stranger.registry.publish(server({ version: '6.6.6' }));
    await writeFile(join(w.folder, '.npmrc'), `registry=${stranger.registry.url}\n`);
    await writeFile(join(w.folder, 'package.json'), '{}');
    const before = process.cwd();
    process.chdir(w.folder);
    try {
      expect((await w.resolve('npm:hello-mcp', { environment: { ...w.options.environment } })).version).toBe('1.0.0');
    } finally {
      process.chdir(before);
    }
    expect((await w.resolve('npm:hello-mcp', { workspace: w.folder })).version).toBe('6.6.6');
  });

  test('the global npmrc is the one of the npm on PATH, not of the node that runs this', async () => {
    await using w = await world();
    w.registry.publish(server());
    const { mkdir, symlink } = await import('node:fs/promises');
    const prefix = join(w.folder, 'prefix');
    await mkdir(join(prefix, 'bin'), { recursive: true });
    await mkdir(join(prefix, 'etc'));
    await mkdir(join(prefix, 'lib/node_modules/npm/bin'), { recursive: true });
    await writeFile(join(prefix, 'lib/node_modules/npm/bin/npm-cli.js'), '');
    await writeFile(join(prefix, 'lib/node_modules/npm/package.json'), '{"name":"npm","version":"11.0.0"}');
    await symlink('../lib/node_modules/npm/bin/npm-cli.js', join(prefix, 'bin/npm'));
    await writeFile(join(prefix, 'bin/node'), '');
    await writeFile(join(prefix, 'etc/npmrc'), `registry=${w.registry.url}\n`);
    const environment = { HOME: w.folder, PATH: `/nowhere/node_modules/.bin:${join(prefix, 'bin')}` };
    expect((await npm.resolve(parseSource('npm:hello-mcp'), BOTH, { ...w.options, environment })).version).toBe(
      '1.0.0',
    );
    // npm started by a project's node passes on a place where no such file can be.
    const misled = { ...environment, npm_config_globalconfig: '/nowhere/node_modules/node/etc/npmrc' };
    expect((await npm.resolve(parseSource('npm:hello-mcp'), BOTH, { ...w.options, environment: misled })).version).toBe(
      '1.0.0',
    );
  });

  test('requests go through the proxy of npm’s configuration or of the environment, but for no_proxy', async () => {
    await using w = await world();
    w.registry.publish(server());
    const seen: string[] = [];
    const proxy = createServer((request, response) => {
      seen.push(request.url ?? '');
      get(`${w.registry.url}${new URL(request.url ?? '').pathname.slice(1)}`, (from) => {
        response.writeHead(from.statusCode ?? 502, from.headers);
        from.pipe(response);
      });
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const address = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    try {
      const through = async (npmrc: string, environment: Record<string, string>) => {
        seen.length = 0;
        const options = await w.configured(`registry=http://registry.example.test/\nfetch-retries=0\n${npmrc}\n`);
        await npm.resolve(parseSource('npm:hello-mcp'), BOTH, {
          ...options,
          cache: join(w.folder, `cache-${npmrc}-${Object.keys(environment).join()}`.replaceAll('/', '_')),
          environment: { ...options.environment, ...environment },
        });
        return seen.length;
      };
      expect(await through(`proxy=${address}`, {})).toBeGreaterThan(1);
      expect(await through('', { http_proxy: address })).toBeGreaterThan(1);
      expect(await through('', { HTTPS_PROXY: address })).toBeGreaterThan(1);
      await expect(through(`proxy=${address}\nnoproxy=example.test`, {})).rejects.toMatchObject({
        code: 'registry-unavailable',
      });
      await expect(through('', { http_proxy: address, NO_PROXY: 'example.test' })).rejects.toMatchObject({
        code: 'registry-unavailable',
      });
    } finally {
      proxy.closeAllConnections();
      proxy.close();
    }
  });

  test('credentials in a form npm no longer takes', async () => {
    await using w = await world();
    const options = await w.configured(`registry=${w.registry.url}\n_authToken=old\n`);
    await expect(npm.resolve(parseSource('npm:hello-mcp'), BOTH, options)).rejects.toMatchObject({
      code: 'npm-config-invalid',
      exit: 2,
    });
  });

  test('settings that change a tree’s shape don’t change a lock', async () => {
    await using w = await world();
    w.registry.publish(
      server({ dependencies: { a: '1' } }),
      { name: 'a', version: '1.0.0', manifest: { dependencies: { b: '1' }, peerDependencies: { c: '1' } } },
      { name: 'b', version: '1.0.0' },
      { name: 'c', version: '1.0.0' },
    );
    const plain = await w.resolve('npm:hello-mcp');
    const options = await w.configured(
      `registry=${w.registry.url}\ninstall-strategy=nested\nlegacy-peer-deps=true\nomit=optional\nomit-lockfile-registry-resolved=false\nlockfile-version=1\ntag=beta\nsave-exact=false\n`,
    );
    expect(await npm.resolve(parseSource('npm:hello-mcp'), BOTH, options)).toEqual(plain);
  });
});

describe('documents that were fetched before', () => {
  test('are asked for again with their ETag, and not at all offline', async () => {
    await using w = await world();
    w.registry.publish(server());
    await w.resolve('npm:hello-mcp');
    await w.resolve('npm:hello-mcp');
    expect(w.registry.asked.filter(({ path }) => path === '/hello-mcp')).toHaveLength(1);
    // Another process, as far as memory goes.
    await w.resolve('npm:hello-mcp', { environment: { ...w.options.environment } });
    const asked = w.registry.asked.filter(({ path }) => path === '/hello-mcp');
    expect(asked.map(({ condition }) => condition !== undefined)).toEqual([false, true]);
    const options = await w.configured(`registry=${w.registry.url}\noffline=true\n`);
    const count = w.registry.asked.length;
    expect((await npm.resolve(parseSource('npm:hello-mcp'), BOTH, options)).version).toBe('1.0.0');
    expect(w.registry.asked.slice(count).filter(({ path }) => path === '/hello-mcp')).toEqual([]);
    await expect(npm.resolve(parseSource('npm:other-mcp'), BOTH, options)).rejects.toMatchObject({
      code: 'registry-unavailable',
    });
  });

  test('a damaged cache is not an error', async () => {
    await using w = await world();
    w.registry.publish(server());
    await w.resolve('npm:hello-mcp');
    const { readdir } = await import('node:fs/promises');
    const folder = join(w.options.cache, 'packuments');
    for (const file of await readdir(folder)) await writeFile(join(folder, file), '{"format":1,');
    expect((await w.resolve('npm:hello-mcp', { environment: { ...w.options.environment } })).version).toBe('1.0.0');
  });
});

test('any document is read or refused, and what is read is about the package', () => {
  const json = fc.jsonValue() as fc.Arbitrary<unknown>;
  const manifest = fc.record(
    Object.fromEntries(
      ['bin', 'dependencies', 'scripts', 'os', 'dist', 'engines', 'bundleDependencies', 'deprecated'].map((key) => [
        key,
        json,
      ]),
    ),
    { requiredKeys: [] },
  );
  const document = fc.record({
    name: fc.constantFrom('p', 'q'),
    versions: fc.oneof(
      json,
      fc.dictionary(
        fc.constantFrom('1.0.0', 'x', '__proto__'),
        manifest.map((m) => ({ name: 'p', version: '1.0.0', ...m })),
      ),
    ),
    time: json,
    'dist-tags': json,
  });
  fc.assert(
    fc.property(fc.oneof(json, document), (value) => {
      try {
        const packument = readPackument(value, 'p', 'http://registry.example.test/p');
        expect(packument.name).toBe('p');
        for (const [version, m] of Object.entries(packument.versions)) expect(m).toMatchObject({ name: 'p', version });
      } catch (error) {
        expect(error).toMatchObject({ code: 'registry-invalid' });
      }
    }),
  );
});
