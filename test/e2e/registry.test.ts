import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import {
  copy,
  type Descriptor,
  exportLayout,
  importLayout,
  type LayoutStore,
  login,
  openLayout,
  openRemote,
  type RemoteOptions,
} from '../../registry/index.ts';
import { type Authority, makeAuthority } from '../fakes/certificates.ts';
import { writeImage, writeIndex, writeReferrer } from '../registry/image.ts';
import { cli } from './harness/cli.ts';
import { commandPath, describeWith } from './harness/needs.ts';
import { type Server, startDockerRegistry, startReferrersRegistry, startTokenServer } from './registry-servers.ts';

const run = promisify(execFile);
const code = (name: string) => expect.objectContaining({ code: name });
// user:correct-horse, by bcrypt with the least cost.
const HTPASSWD = 'user:$2a$04$/V0TRRwjoIquPt81lwi/B.JB5rb0ShXKFZS9yL6QmGjoHn32U.F1i\n';
const credential = { kind: 'basic', username: 'user', password: 'correct-horse' } as const;

let folder: string;
let local: LayoutStore;
let image: Descriptor;
let index: Descriptor;
let signature: Descriptor;
const servers: Server[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'registry-e2e-'));
  local = await openLayout(join(folder, 'local'));
  image = await writeImage(local, [3_000_000, 20_000]);
  index = await writeIndex(local);
  signature = await writeReferrer(local, image, 'signature');
  await writeReferrer(local, image, 'provenance');
  await writeReferrer(local, signature, 'counter-signature');
  await local.tag('image', image);
  await local.tag('index', index);
});
afterAll(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const started = async <T extends Server>(server: Promise<T>): Promise<T> => {
  servers.push(await server);
  return server;
};
/** A client's output; its stderr is in the error when it fails. */
const tool = async (command: string, ...args: string[]): Promise<string> =>
  (
    await run(commandPath(command)!, args, { env: { ...process.env, COSIGN_PASSWORD: 'x', HOME: folder } })
  ).stdout.trim();
const remoteOf = (host: string, repository: string, options: RemoteOptions = {}) =>
  openRemote({ registry: host, repository }, options);

describeWith(['docker-registry', 'openssl', 'skopeo'], "Debian's docker-registry, which has no referrers API", () => {
  let authority: Authority & Disposable;
  beforeAll(() => {
    authority = makeAuthority();
  });
  afterAll(() => authority[Symbol.dispose]());

  it('with TLS by an authority of its own, and htpasswd', async () => {
    const { host } = await started(
      startDockerRegistry(join(folder, 'basic'), { tls: authority.issue(['127.0.0.1']), htpasswd: HTPASSWD }),
    );
    await expect(remoteOf(host, 'a').ping()).rejects.toThrow(code('tls'));
    const folders = [join(folder, 'certs.d')];
    await mkdir(join(folder, 'certs.d', host), { recursive: true });
    await writeFile(join(folder, 'certs.d', host, 'ca.crt'), authority.ca);
    const certificates = { folders };
    await expect(remoteOf(host, 'a', { certificates }).ping()).rejects.toThrow(code('unauthorized'));
    const wrong = { ...credential, password: 'wrong' };
    await expect(copy(local, remoteOf(host, 'a', { certificates, credential: wrong }), image)).rejects.toThrow(
      code('unauthorized'),
    );

    const environment = { HOME: join(folder, 'home') };
    await login(host, { username: 'user', password: 'correct-horse' }, environment);
    const remote = remoteOf(host, 'a', { certificates, environment });
    await remote.ping();
    await copy(local, remote, image, { tags: ['1'] });
    const back = await openLayout(join(folder, 'basic-back'));
    await copy(remote, back, await remote.resolve('1'), { tags: ['x'] });
    expect(await back.referrers(image.digest)).toEqual(await local.referrers(image.digest));
    expect(await back.referrers(signature.digest)).toHaveLength(1);

    // The file `login` wrote is one that skopeo reads.
    const seen = await tool(
      'skopeo',
      'inspect',
      '--raw',
      '--authfile',
      join(folder, 'home', '.docker', 'config.json'),
      '--cert-dir',
      join(folder, 'certs.d', host),
      `docker://${host}/a:1`,
    );
    expect(JSON.parse(seen)).toMatchObject({ schemaVersion: 2 });
    // And the other way round: what skopeo keeps, we find.
    const authfile = join(folder, 'auth.json');
    await tool(
      'skopeo',
      'login',
      '--authfile',
      authfile,
      '--cert-dir',
      join(folder, 'certs.d', host),
      '-u',
      'user',
      '-p',
      'correct-horse',
      host,
    );
    await remoteOf(host, 'a', { certificates, environment: { REGISTRY_AUTH_FILE: authfile } }).resolve('1');
  });

  it('with commands: login, copy, pull, push, one file, logout', async () => {
    const { host } = await started(
      startDockerRegistry(join(folder, 'commands'), { tls: authority.issue(['127.0.0.1']), htpasswd: HTPASSWD }),
    );
    const home = join(folder, 'commands-home');
    await mkdir(home);
    const certs = join(folder, 'commands-certs');
    await mkdir(join(certs, host), { recursive: true });
    await writeFile(join(certs, host, 'ca.crt'), authority.ca);
    const source = `oci:${local.folder}`;
    const command = async (exit: number, args: readonly string[], input = '') => {
      const done = await cli([...args, '--json'], {
        cwd: folder,
        input,
        env: { HOME: home, MCP_BUILD_HOME: home, DOCKER_CONFIG: undefined, REGISTRY_AUTH_FILE: undefined },
      });
      expect(`${done.stdout}${done.stderr}`).not.toContain('correct-horse');
      expect(done, done.stderr).toMatchObject({ code: exit });
      return done;
    };
    const logIn = (exit: number, password: string, ...more: string[]) =>
      command(exit, ['login', host, '--username', 'user', '--password-stdin', ...more], `${password}\n`);

    expect((await logIn(5, 'correct-horse')).stderr).toContain('--certs');
    await logIn(5, 'wrong', '--certs', certs);
    await command(5, ['copy', `${source}:image`, `${host}/team/server:1`, '--certs', certs]);
    await logIn(0, 'correct-horse', '--certs', certs);
    const config = join(home, '.docker', 'config.json');
    expect((await stat(config)).mode & 0o777).toBe(0o600);
    // Where Docker has it: nothing needs to be named from here on.
    await mkdir(join(home, '.docker', 'certs.d', host), { recursive: true });
    await writeFile(join(home, '.docker', 'certs.d', host, 'ca.crt'), authority.ca);

    const immutable = `1.2.3-${'0'.repeat(12)}`;
    const sent = await command(0, ['copy', `${source}:image`, `${host}/team/server:${immutable}`]);
    expect(sent.json()).toMatchObject({ digest: image.digest, referrers: 3, tags: [immutable] });
    const moved = await command(4, ['copy', `${source}:index`, `${host}/team/server:${immutable}`]);
    expect(moved.stderr).toContain('tag-immutable');

    const pulled = await command(0, ['pull', `${host}/team/server:${immutable}`]);
    expect(pulled.json()).toMatchObject({ digest: image.digest, referrers: 3 });
    const store = await openLayout(join(home, 'store'), { create: false });
    expect(await store.resolve('server')).toEqual(image);
    expect(await store.referrers(image.digest)).toEqual(await local.referrers(image.digest));

    const pushed = await command(0, ['push', 'server', '--to', `${host}/other/server:stable`]);
    expect(pushed.json()).toMatchObject({ digest: image.digest, tags: [immutable, 'stable'] });
    const again = await command(0, ['push', 'server', '--to', `${host}/other/server:stable`]);
    expect(again.json()).toMatchObject({ sent: 0, mounted: 0, bytes: 0, referrers: 0 });

    const file = join(folder, 'commands.tar');
    await command(0, ['copy', `${host}/other/server:stable`, `oci-archive:${file}`]);
    const carried = await command(0, ['copy', `oci-archive:${file}`, `${host}/far/server:1`]);
    expect(carried.json()).toMatchObject({ digest: image.digest, referrers: 3 });

    await command(0, ['logout', host]);
    expect(await readFile(config, 'utf8')).not.toContain(host);
    await command(5, ['pull', `${host}/far/server:1`]);
  });

  it('with tokens', async () => {
    const tokens = await started(startTokenServer(authority.issue(['token']), { user: 'correct-horse' }));
    const { host } = await started(
      startDockerRegistry(join(folder, 'token'), {
        token: { realm: `http://${tokens.host}/token`, roots: authority.ca },
      }),
    );
    await expect(copy(local, remoteOf(host, 'a'), image)).rejects.toThrow(code('unauthorized'));
    await copy(local, remoteOf(host, 'a', { credential }), image, { tags: ['1'] });
    expect(await remoteOf(host, 'a').resolve('1'), 'anonymously').toEqual(image);
    const mounted = await copy(local, remoteOf(host, 'b', { credential }), image, { tags: ['1'], mountFrom: 'a' });
    expect(mounted).toMatchObject({ bytes: expect.any(Number), mounted: expect.any(Number) });
    expect(mounted.mounted).toBeGreaterThanOrEqual(3);
    const wrong = { ...credential, password: 'wrong' };
    await expect(remoteOf(host, 'a', { credential: wrong }).resolve('1')).rejects.toThrow(code('unauthorized'));
  });

  it('with pieces, and a push that finds everything there', async () => {
    const { host } = await started(startDockerRegistry(join(folder, 'chunks')));
    await copy(local, remoteOf(host, 'a', { chunk: 700_000 }), image, { tags: ['1'] });
    expect(await copy(local, remoteOf(host, 'a'), image, { tags: ['1'] })).toMatchObject({
      sent: 0,
      bytes: 0,
      referrers: 0,
    });
    await copy(remoteOf(host, 'a'), await openLayout(join(folder, 'chunks-back')), image, { tags: ['x'] });
  });

  it('keeps the referrers of writers who write at the same moment', async () => {
    const { host } = await started(startDockerRegistry(join(folder, 'writers')));
    await copy(local, remoteOf(host, 'a'), index);
    const texts = Array.from({ length: 8 }, (_, at) => `writer ${at}`);
    await Promise.all(texts.map((text) => writeReferrer(remoteOf(host, 'a'), index, text)));
    const listed = await remoteOf(host, 'a').referrers(index.digest);
    expect(new Set(listed.map((one) => one.annotations?.['org.example.text']))).toEqual(new Set(texts));
  });
});

describeWith(['docker-registry', 'go', 'skopeo', 'crane', 'umoci', 'cosign'], 'other tools', () => {
  let without: string;
  let withApi: string;
  beforeAll(async () => {
    without = (await started(startDockerRegistry(join(folder, 'plain')))).host;
    withApi = (await started(startReferrersRegistry(join(folder, 'referrers')))).host;
  });
  let name = 0;
  beforeEach(() => {
    name++;
  });

  it.each(['without the referrers API', 'with it'])('read what we push to a registry %s', async (which) => {
    const host = which === 'with it' ? withApi : without;
    const repository = `ours/${name}`;
    await copy(local, remoteOf(host, repository), image, { tags: ['image'] });
    await copy(local, remoteOf(host, repository), index, { tags: ['index'] });
    expect(await tool('crane', 'digest', `${host}/${repository}:image`)).toBe(image.digest);
    await tool('crane', 'validate', '--remote', `${host}/${repository}:image`);
    await tool('crane', 'validate', '--remote', `${host}/${repository}:index`);
    await tool(
      'skopeo',
      'copy',
      '--all',
      '--src-tls-verify=false',
      `docker://${host}/${repository}:index`,
      `oci:${join(folder, `skopeo-${name}`)}:x`,
    );
    expect(await tool('cosign', 'tree', '--allow-http-registry', `${host}/${repository}:image`)).toContain(
      signature.digest,
    );
  });

  it.each(['without the referrers API', 'with it'])('push what we read from a registry %s', async (which) => {
    const host = which === 'with it' ? withApi : without;
    const repository = `theirs/${name}`;
    await tool(
      'skopeo',
      'copy',
      '--all',
      '--dest-tls-verify=false',
      `oci:${local.folder}:index`,
      `docker://${host}/${repository}:skopeo`,
    );
    await tool('crane', 'copy', `${host}/${repository}:skopeo`, `${host}/${repository}:crane`);
    const back = await openLayout(join(folder, `theirs-${name}`));
    for (const tag of ['skopeo', 'crane']) {
      const remote = remoteOf(host, repository);
      expect(await remote.resolve(tag)).toEqual(index);
      await copy(remote, back, await remote.resolve(tag), { tags: [tag] });
    }
    await tool(
      'skopeo',
      'copy',
      '--format',
      'v2s2',
      '--dest-tls-verify=false',
      `oci:${local.folder}:image`,
      `docker://${host}/${repository}:docker`,
    );
    const docker = await remoteOf(host, repository).resolve('docker');
    expect(docker.mediaType).toContain('docker');
    await copy(remoteOf(host, repository), back, docker, { tags: ['docker'] });
  });

  it('read our layouts, and we theirs', async () => {
    const target = join(folder, 'layout-skopeo');
    await tool('skopeo', 'copy', `oci:${local.folder}:image`, `oci:${target}:x`);
    const skopeo = await openLayout(target, { create: false });
    await skopeo.tag('again', await skopeo.resolve('x'));
    const crane = join(folder, 'layout-crane');
    await copy(local, remoteOf(withApi, 'layouts'), image, { tags: ['1'] });
    await tool('crane', 'pull', '--format', 'oci', `${withApi}/layouts:1`, crane);
    const read = await openLayout(crane);
    expect(await read.resolve(image.digest)).toEqual(image);
    await read.tag('ours', image);
    await tool('crane', 'validate', '--remote', `${withApi}/layouts:1`);
    const single = await openLayout(join(folder, 'layout-single'));
    await copy(local, single, image, { tags: ['one'], referrers: false });
    await tool('crane', 'push', single.folder, `${withApi}/layouts:pushed`);
    expect(await tool('crane', 'digest', `${withApi}/layouts:pushed`)).toBe(image.digest);
    expect(await tool('umoci', 'ls', '--layout', local.folder)).toContain('image');
    await tool('umoci', 'unpack', '--rootless', '--image', `${local.folder}:image`, join(folder, 'unpacked'));
    expect((await readFile(join(folder, 'unpacked', 'rootfs', 'payload'))).length).toBeGreaterThan(1000);
    await tool('umoci', 'tag', '--image', `${local.folder}:image`, 'umoci');
    expect(await local.resolve('umoci')).toEqual(image);
    await local.untag('umoci');
  });

  it('read our archives, and we theirs', async () => {
    const file = join(folder, 'ours.tar');
    await exportLayout(file, local, await local.list());
    const seen = await tool('skopeo', 'inspect', '--raw', `oci-archive:${file}:image`);
    expect(JSON.parse(seen)).toMatchObject({ schemaVersion: 2 });
    const theirs = join(folder, 'theirs.tar');
    await tool('skopeo', 'copy', `oci:${local.folder}:image`, `oci-archive:${theirs}:one`);
    const into = await openLayout(join(folder, 'imported'));
    const [imported] = await importLayout(theirs, into);
    expect(imported?.tag).toBe('one');
    expect(imported?.descriptor.digest).toBe(image.digest);
  });

  it('sign what we push, and their signatures travel with our copies', async () => {
    const repository = `signed/${name}`;
    await copy(local, remoteOf(without, repository), index, { tags: ['1'] });
    await run(commandPath('cosign')!, ['generate-key-pair', '--output-key-prefix', join(folder, 'key')], {
      env: { ...process.env, COSIGN_PASSWORD: 'x' },
    });
    const at = `${without}/${repository}@${index.digest}`;
    await tool(
      'cosign',
      'sign',
      '-y',
      '--key',
      join(folder, 'key.key'),
      '--tlog-upload=false',
      '--use-signing-config=false',
      '--allow-http-registry',
      at,
    );
    const from = remoteOf(without, repository);
    expect(await from.referrers(index.digest)).toHaveLength(1);
    const air = await openLayout(join(folder, 'air'));
    await copy(from, air, index, { tags: ['x'] });
    await exportLayout(join(folder, 'air.tar'), air, await air.list());
    const gap = await openLayout(join(folder, 'gap'));
    await importLayout(join(folder, 'air.tar'), gap);
    for (const host of [without, withApi]) {
      await copy(gap, remoteOf(host, `${repository}-copy`), index, { tags: ['1'] });
      await tool(
        'cosign',
        'verify',
        '--key',
        join(folder, 'key.pub'),
        '--insecure-ignore-tlog',
        '--allow-http-registry',
        `${host}/${repository}-copy:1`,
      );
    }
  });
});
