import { chmod, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  credentialFiles,
  documentOf,
  findCredential,
  login,
  logout,
  openRemote,
  type RemoteOptions,
} from '../../registry/index.ts';
import { parseChallenges } from '../../registry/remote/challenge.ts';
import { inject, type OciRegistry, type OciRegistryOptions, startOciRegistry } from '../fakes/oci-registry.ts';
import { put } from './image.ts';

const code = (name: string) => expect.objectContaining({ code: name });
const HOST = 'registry.example.test';
const one = documentOf(Buffer.from('hello'), 'text/plain');

let folder: string;
let environment: Record<string, string>;
const open: AsyncDisposable[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'credentials-'));
  environment = { HOME: folder, PATH: `${join(folder, 'bin')}${delimiter}${process.env.PATH}` };
});
afterEach(async () => {
  for (const each of open.splice(0)) await each[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

async function start(options: OciRegistryOptions): Promise<OciRegistry> {
  const registry = await startOciRegistry(options);
  open.push(registry);
  return registry;
}
const remoteOf = (registry: OciRegistry, options: RemoteOptions) =>
  openRemote(
    { registry: registry.host, repository: 'team/server' },
    { persistence: { attempts: 1, pause: 5 }, ...options },
  );

async function config(value: unknown, at = join(folder, '.docker', 'config.json')): Promise<string> {
  await mkdir(join(at, '..'), { recursive: true });
  await writeFile(at, typeof value === 'string' ? value : JSON.stringify(value));
  return at;
}
const auth = (text: string) => ({ auth: Buffer.from(text).toString('base64') });

/** A credential helper that keeps what it is given in a file and answers by the script of the test. */
async function helper(name: string, script: string): Promise<void> {
  const path = join(folder, 'bin', `docker-credential-${name}`);
  await mkdir(join(folder, 'bin'), { recursive: true });
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
}

describe('flows', () => {
  it('without credentials where none are asked for', async () => {
    const registry = await start({});
    await put(remoteOf(registry, {}), one);
    expect(registry.seen.every((seen) => seen.headers.authorization === undefined)).toBe(true);
  });

  it('anonymous tokens', async () => {
    const registry = await start({ auth: { scheme: 'bearer', username: 'u', password: 'p', anonymousPull: true } });
    expect(await remoteOf(registry, {}).has(one.descriptor)).toBe(false);
    await expect(put(remoteOf(registry, {}), one)).rejects.toThrow(code('unauthorized'));
  });

  it.each<[string, OciRegistryOptions['auth'], NonNullable<RemoteOptions['credential']>]>([
    [
      'Basic',
      { scheme: 'basic', username: 'u', password: 'p:with:colons' },
      { kind: 'basic', username: 'u', password: 'p:with:colons' },
    ],
    ['Bearer', { scheme: 'bearer', username: 'u', password: 'p' }, { kind: 'basic', username: 'u', password: 'p' }],
    [
      'Bearer by OAuth2',
      { scheme: 'bearer', username: 'u', password: 'p', postOnly: true },
      { kind: 'basic', username: 'u', password: 'p' },
    ],
    ['a refresh token', { scheme: 'bearer', refreshToken: 'r' }, { kind: 'identity', token: 'r' }],
  ])('%s', async (_, scheme, credential) => {
    const registry = await start({ auth: scheme! });
    await put(remoteOf(registry, { credential }), one);
    await remoteOf(registry, { credential }).ping();
    await expect(put(remoteOf(registry, {}), one)).rejects.toThrow(code('unauthorized'));
  });

  it.each<[string, OciRegistryOptions['auth'], NonNullable<RemoteOptions['credential']>]>([
    [
      'Basic',
      { scheme: 'basic', username: 'u', password: 'p' },
      { kind: 'basic', username: 'u', password: 'secret-x' },
    ],
    [
      'Bearer',
      { scheme: 'bearer', username: 'u', password: 'p' },
      { kind: 'basic', username: 'u', password: 'secret-x' },
    ],
    ['a refresh token', { scheme: 'bearer', refreshToken: 'r' }, { kind: 'identity', token: 'secret-x' }],
    ['a registry token', { scheme: 'bearer', refreshToken: 'r' }, { kind: 'bearer', token: 'secret-x' }],
  ])('%s that is wrong ends soon, with one error that shows no secret', async (_, scheme, credential) => {
    const registry = await start({ auth: scheme! });
    const error = await put(remoteOf(registry, { credential }), one).catch((failure: Error) => failure);
    expect(error).toMatchObject({ code: 'unauthorized', exit: 5 });
    expect(JSON.stringify({ ...(error as Error), message: (error as Error).message })).not.toContain('secret-x');
    expect(registry.seen.length).toBeLessThanOrEqual(5);
  });

  it('one token for many requests, and a new one when it has ended', async () => {
    const registry = await start({ auth: { scheme: 'bearer', username: 'u', password: 'p' } });
    const remote = remoteOf(registry, { credential: { kind: 'basic', username: 'u', password: 'p' } });
    await Promise.all(Array.from({ length: 6 }, () => remote.has(one.descriptor)));
    await remote.has(one.descriptor);
    expect(registry.seen.filter((seen) => seen.path.startsWith('/token')).length).toBe(1);
    inject(
      registry,
      (seen) => seen.method === 'HEAD',
      ({ response }) => {
        response
          .writeHead(401, { 'www-authenticate': `Bearer realm="http://${registry.host}/token",service="fake"` })
          .end();
      },
    );
    expect(await remote.has(one.descriptor)).toBe(false);
    expect(registry.seen.filter((seen) => seen.path.startsWith('/token')).length).toBe(2);
  });

  it.each([
    '{',
    '{}',
    '{"token":""}',
    '{"token":"a\\nb: c"}',
    '{"token":5}',
    'null',
    `{"token":"${'x'.repeat(300_000)}"}`,
  ])('no token in %.40s', async (body) => {
    const registry = await start({ auth: { scheme: 'bearer', username: 'u', password: 'p' } });
    inject(
      registry,
      (seen) => seen.path.startsWith('/token'),
      ({ response }) => void response.writeHead(200).end(body),
      10,
    );
    await expect(remoteOf(registry, {}).ping()).rejects.toThrow(code('registry-unavailable'));
  });

  it('a token server that redirects is not followed: the request carries the password', async () => {
    const registry = await start({ auth: { scheme: 'bearer', username: 'u', password: 'p' } });
    const thief = await start({});
    inject(
      registry,
      (seen) => seen.path.startsWith('/token'),
      ({ response }) => void response.writeHead(307, { location: `http://${thief.host}/token` }).end(),
      10,
    );
    await expect(
      remoteOf(registry, { credential: { kind: 'basic', username: 'u', password: 'p' } }).ping(),
    ).rejects.toThrow(code('registry-unavailable'));
    expect(thief.seen).toEqual([]);
  });
});

describe('challenges', () => {
  it.each([
    [
      'Bearer realm="https://a.test/t",service="s",scope="repository:x:pull repository:y:push,pull"',
      [
        {
          scheme: 'bearer',
          realm: 'https://a.test/t',
          service: 's',
          scopes: ['repository:x:pull', 'repository:y:push,pull'],
        },
      ],
    ],
    ['basic realm="x, y", BEARER realm=https', [{ scheme: 'bearer', realm: 'https', scopes: [] }, { scheme: 'basic' }]],
    ['Negotiate, Basic realm="a\\"b"', [{ scheme: 'basic' }]],
    ['Bearer service="s"', []],
    ['', []],
    [undefined, []],
    ['"""', []],
    [`Bearer realm="${'a'.repeat(10_000)}"`, []],
  ])('%.60s', (header, expected) => {
    expect(parseChallenges(header)).toEqual(expected);
  });
});

describe('findCredential', () => {
  const find = (repository = 'team/server') => findCredential(HOST, repository, environment);

  it('finds nothing where there is nothing', async () => {
    expect(await find()).toBeUndefined();
    await config('');
    expect(await find()).toBeUndefined();
    await config({ auths: { 'other.example.test': auth('u:p') } });
    expect(await find()).toBeUndefined();
  });

  it.each<[string, unknown, unknown]>([
    ['user and password', { [HOST]: auth('u:p:q') }, { kind: 'basic', username: 'u', password: 'p:q' }],
    ['an old key', { [`https://${HOST}/v1/`]: auth('u:p') }, { kind: 'basic', username: 'u', password: 'p' }],
    ['another case', { [HOST.toUpperCase()]: auth('u:p') }, { kind: 'basic', username: 'u', password: 'p' }],
    ['plain fields', { [HOST]: { username: 'u', password: 'p' } }, { kind: 'basic', username: 'u', password: 'p' }],
    ['an identity token', { [HOST]: { ...auth('u:p'), identitytoken: 't' } }, { kind: 'identity', token: 't' }],
    ['a token as a password', { [HOST]: auth('<token>:t') }, { kind: 'identity', token: 't' }],
    ['a registry token', { [HOST]: { registrytoken: 't' } }, { kind: 'bearer', token: 't' }],
    [
      'the most specific namespace',
      { [HOST]: auth('a:a'), [`${HOST}/team`]: auth('b:b'), [`${HOST}/other`]: auth('c:c') },
      { kind: 'basic', username: 'b', password: 'b' },
    ],
    ['an entry that is empty', { [HOST]: {} }, undefined],
  ])('reads %s', async (_, auths, expected) => {
    await config({ auths });
    expect(await find()).toEqual(expected);
  });

  it('looks where the variables say', async () => {
    const paths = {
      docker: await config({ auths: { [HOST]: auth('docker:p') } }, join(folder, 'd', 'config.json')),
      runtime: await config({ auths: { [HOST]: auth('runtime:p') } }, join(folder, 'r', 'containers', 'auth.json')),
      file: await config({ auths: { [HOST]: auth('file:p') } }, join(folder, 'auth.json')),
    };
    environment.XDG_RUNTIME_DIR = join(folder, 'r');
    expect(await find()).toMatchObject({ username: 'runtime' });
    environment.DOCKER_CONFIG = join(folder, 'd');
    expect(await find()).toMatchObject({ username: 'docker' });
    environment.REGISTRY_AUTH_FILE = paths.file;
    expect(await find()).toMatchObject({ username: 'file' });
    expect(credentialFiles(environment)).toEqual([paths.file]);
  });

  it.each([
    '{',
    '[]',
    '{"auths":5}',
    '{"auths":{"registry.example.test":{"auth":"bm90aGluZw=="}}}',
    '{"credHelpers":{"a":5}}',
  ])('says that %j is damaged, without showing it', async (text) => {
    await config(text);
    const error = await find().catch((failure: Error) => failure);
    expect(error).toMatchObject({ code: 'credentials-invalid' });
    expect(String((error as Error).message)).not.toContain('nothing');
  });

  it('does not read a file without end', async () => {
    await config(`{"x":"${'x'.repeat(2 * 1024 * 1024)}"}`);
    await expect(find()).rejects.toThrow(code('credentials-invalid'));
  });
});

describe('credential helpers', () => {
  const find = () => findCredential(HOST, 'team/server', environment);

  it('are asked for their host, on stdin', async () => {
    await config({ credHelpers: { [HOST]: 'fake' }, auths: { [HOST]: auth('file:p') } });
    await helper(
      'fake',
      `[ "$1" = get ] && [ "$(cat)" = "${HOST}" ] && echo '{"ServerURL":"x","Username":"u","Secret":"s"}'`,
    );
    expect(await find()).toEqual({ kind: 'basic', username: 'u', password: 's' });
    await helper('fake', `cat >/dev/null; echo '{"Username":"<token>","Secret":"s"}'`);
    expect(await find()).toEqual({ kind: 'identity', token: 's' });
  });

  it('that know nothing leave it to the file', async () => {
    await config({ credsStore: 'fake', auths: { [HOST]: auth('file:p') } });
    await helper('fake', 'echo "credentials not found in native keychain"; exit 1');
    expect(await find()).toMatchObject({ username: 'file' });
  });

  it.each([
    ['fails', 'fake', 'echo "keychain is locked"; exit 1'],
    ['gives no JSON', 'fake', 'echo x'],
    ['gives half of it', 'fake', `echo '{"Username":"u"}'`],
    ['gives no end of it', 'fake', 'yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'],
    ['is not there', 'other', ''],
    ['is a path', '../../bin/fake', ''],
    ['is a command', 'fake; touch canary', ''],
    ['is empty', ' ', ''],
  ])('one that %s is an error', async (_, name, script) => {
    await config({ credHelpers: { [HOST]: name } });
    if (script) await helper('fake', script);
    await expect(find()).rejects.toThrow(code('credential-helper'));
  });
});

describe('login and logout', () => {
  it('keep what other tools find, in a file for its owner only, and what they do not know', async () => {
    const path = await config({
      HttpHeaders: { a: 'b' },
      auths: { 'other.example.test': auth('o:o'), [`https://${HOST}/v1/`]: auth('old:old') },
    });
    await chmod(path, 0o644);
    expect(await login(HOST, { username: 'u', password: 'p' }, environment)).toBe(path);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({
      HttpHeaders: { a: 'b' },
      auths: { 'other.example.test': auth('o:o'), [HOST]: auth('u:p') },
    });
    expect(await findCredential(HOST, 'x', environment)).toEqual({ kind: 'basic', username: 'u', password: 'p' });
    expect(await logout(HOST, environment)).toBe(true);
    expect(await findCredential(HOST, 'x', environment)).toBeUndefined();
    expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ HttpHeaders: { a: 'b' } });
    expect(await logout(HOST, environment)).toBe(false);
  });

  it('make the file where there is none', async () => {
    environment.REGISTRY_AUTH_FILE = join(folder, 'new', 'auth.json');
    await login(HOST, { identityToken: 't' }, environment);
    expect(await findCredential(HOST, 'x', environment)).toEqual({ kind: 'identity', token: 't' });
    expect((await stat(environment.REGISTRY_AUTH_FILE)).mode & 0o777).toBe(0o600);
  });

  it('write through a link', async () => {
    const target = await config({}, join(folder, 'dotfiles', 'config.json'));
    await mkdir(join(folder, '.docker'));
    await symlink(target, join(folder, '.docker', 'config.json'));
    await login(HOST, { username: 'u', password: 'p' }, environment);
    expect(JSON.parse(await readFile(target, 'utf8'))).toEqual({ auths: { [HOST]: auth('u:p') } });
  });

  it('hand it to the helper that is configured, which gets it on stdin', async () => {
    const path = await config({ credsStore: 'fake' });
    await helper('fake', `case $1 in store|erase) cat >"${join(folder, '$1ed')}";; get) exit 1;; esac`);
    expect(await login(HOST, { username: 'u', password: 'p' }, environment)).toBe('docker-credential-fake');
    expect(JSON.parse(await readFile(join(folder, 'storeed'), 'utf8'))).toEqual({
      ServerURL: HOST,
      Username: 'u',
      Secret: 'p',
    });
    expect(await readFile(path, 'utf8')).not.toContain(auth('u:p').auth);
    await logout(HOST, environment);
    expect(await readFile(join(folder, 'eraseed'), 'utf8')).toBe(HOST);
  });

  it('of many at once are all kept', async () => {
    await Promise.all(
      Array.from({ length: 8 }, (_, at) => login(`r${at}.example.test`, { username: 'u', password: 'p' }, environment)),
    );
    const { auths } = JSON.parse(await readFile(join(folder, '.docker', 'config.json'), 'utf8')) as { auths: object };
    expect(Object.keys(auths)).toHaveLength(8);
  });

  it('take no user name with a colon', async () => {
    await expect(login(HOST, { username: 'u:p', password: '' }, environment)).rejects.toThrow(
      code('credentials-invalid'),
    );
  });
});
