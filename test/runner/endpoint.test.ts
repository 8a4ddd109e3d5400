import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { docker, findEndpoint, formatEndpoint, parseEndpoint } from '../../runner/index.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'endpoint-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the daemon', () => {
  test.each([
    ['unix:///run/user/1000/docker.sock', { kind: 'unix', path: '/run/user/1000/docker.sock' }],
    ['tcp://127.0.0.1:2375', { kind: 'tcp', host: '127.0.0.1', port: 2375 }],
    ['tcp://docker', { kind: 'tcp', host: 'docker', port: 2375 }],
    ['tcp://[::1]:2375', { kind: 'tcp', host: '::1', port: 2375 }],
  ])('at %s', (text, endpoint) => {
    expect(parseEndpoint(text)).toEqual(endpoint);
    expect(parseEndpoint(formatEndpoint(parseEndpoint(text)))).toEqual(endpoint);
  });

  test('is reached with certificates where Docker would use them', () => {
    expect(parseEndpoint('tcp://docker:2376', { DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: '/certs' })).toEqual({
      kind: 'tcp',
      host: 'docker',
      port: 2376,
      certificates: '/certs',
    });
  });

  test.each([
    '',
    'ssh://host;reboot',
    'ssh://-oProxyCommand=x',
    'ssh://me:password@host',
    'ssh://host/run/$(id).sock',
    'ssh://host:0',
    'npipe:////./pipe/docker_engine',
    'unix://relative',
    'tcp://host:99999',
    'fd://',
    'tcp://a b',
  ])('is not at "%s"', (text) => {
    expect(() => parseEndpoint(text)).toThrow(expect.objectContaining({ code: 'docker-unavailable' }));
  });

  test('is the one of DOCKER_HOST, then of the context, then the usual one', async () => {
    const config = join(folder, 'config');
    const meta = join(config, 'contexts', 'meta', createHash('sha256').update('work').digest('hex'));
    await mkdir(meta, { recursive: true });
    await writeFile(join(meta, 'meta.json'), JSON.stringify({ Endpoints: { docker: { Host: 'unix:///work.sock' } } }));
    await writeFile(join(config, 'config.json'), JSON.stringify({ currentContext: 'work', auths: {} }));
    const environment = { DOCKER_CONFIG: config, HOME: folder };
    expect(await findEndpoint({ ...environment, DOCKER_HOST: 'unix:///host.sock' })).toEqual({
      kind: 'unix',
      path: '/host.sock',
    });
    expect(await findEndpoint(environment)).toEqual({ kind: 'unix', path: '/work.sock' });
    expect(await findEndpoint({ ...environment, DOCKER_CONTEXT: 'default' })).toMatchObject({ kind: 'unix' });
    await expect(findEndpoint({ ...environment, DOCKER_CONTEXT: 'lost' })).rejects.toMatchObject({
      code: 'docker-unavailable',
      input: 'lost',
    });
    const tls = join(config, 'contexts', 'tls', createHash('sha256').update('work').digest('hex'), 'docker');
    await mkdir(tls, { recursive: true });
    await writeFile(
      join(meta, 'meta.json'),
      JSON.stringify({ Endpoints: { docker: { Host: 'tcp://docker.example.test' } } }),
    );
    expect(await findEndpoint(environment)).toEqual({
      kind: 'tcp',
      host: 'docker.example.test',
      port: 2376,
      certificates: tls,
    });
    await writeFile(join(config, 'config.json'), 'not JSON');
    expect(await findEndpoint(environment)).toMatchObject({ kind: 'unix' });
  });
});

describe('a daemon that is not there', () => {
  test.each([
    ['has no socket', async () => join(folder, 'none.sock')],
    [
      'left its socket behind',
      async () => {
        const path = join(folder, 'stale.sock');
        const server = http.createServer();
        await new Promise<void>((resolve) => server.listen(path, resolve));
        // What a killed process leaves: the name stays, and nobody listens.
        const { rename } = await import('node:fs/promises');
        await rename(path, `${path}.kept`);
        await new Promise((resolve) => server.close(resolve));
        await rename(`${path}.kept`, path);
        return path;
      },
    ],
  ])('%s', async (_name, make) => {
    const runtime = docker({ kind: 'unix', path: await make() });
    await expect(runtime.facts()).rejects.toMatchObject({
      code: 'docker-unavailable',
      exit: 1,
      fix: expect.stringContaining('DOCKER_HOST'),
    });
  });

  test.skipIf(process.getuid?.() === 0)('is another user’s', async () => {
    const path = join(folder, 'closed');
    await mkdir(path);
    await chmod(path, 0);
    await expect(docker({ kind: 'unix', path: join(path, 'docker.sock') }).facts()).rejects.toMatchObject({
      code: 'docker-unavailable',
      fix: expect.stringContaining('group'),
    });
  });
});

describe('answers of a daemon', () => {
  test.each<[string, (response: http.ServerResponse) => void]>([
    [
      'that has no end',
      (response) => {
        response.writeHead(200, { 'api-version': '1.41' });
        const more = () => {
          while (response.write('x'.repeat(1 << 20)));
        };
        response.on('drain', more);
        more();
      },
    ],
    ['that are a page', (response) => response.end('<html>')],
    [
      'that break off',
      (response) => {
        response.writeHead(200, { 'content-length': '1000' });
        response.write('{');
        setTimeout(() => response.destroy(), 20);
      },
    ],
    [
      'of the wrong shape',
      (response) => {
        response.setHeader('api-version', '1.41');
        response.end('[1]');
      },
    ],
  ])('%s are an error', async (_name, answer) => {
    const path = join(folder, `${Math.random()}.sock`);
    const server = http.createServer((_request, response) => answer(response)).on('clientError', () => undefined);
    await new Promise<void>((resolve) => server.listen(path, resolve));
    await expect(docker({ kind: 'unix', path }).facts()).rejects.toMatchObject({
      code: expect.stringMatching(/^docker-(failed|unavailable)$/),
    });
    server.closeAllConnections();
    server.close();
  });
});
