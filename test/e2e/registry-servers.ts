import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createPrivateKey, randomUUID, sign } from 'node:crypto';
import { openSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import type { Issued } from '../fakes/certificates.ts';
import { commandPath } from './harness/needs.ts';

const run = promisify(execFile);

export interface Server extends AsyncDisposable {
  /** `127.0.0.1:port`. */
  readonly host: string;
}

export interface DockerRegistryOptions {
  readonly tls?: Issued;
  /** The text of an htpasswd file. */
  readonly htpasswd?: string;
  readonly token?: { readonly realm: string; readonly roots: string };
}

/** Debian's docker-registry, in `folder`. */
export async function startDockerRegistry(folder: string, options: DockerRegistryOptions = {}): Promise<Server> {
  await mkdir(join(folder, 'data'), { recursive: true });
  const port = await freePort();
  const file = async (name: string, text: string) => {
    await writeFile(join(folder, name), text);
    return join(folder, name);
  };
  const { tls, htpasswd, token } = options;
  const config = {
    version: '0.1',
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(folder, 'data') } },
    http: {
      addr: `127.0.0.1:${port}`,
      ...(tls
        ? { tls: { certificate: await file('tls.crt', tls.certificate), key: await file('tls.key', tls.key) } }
        : {}),
    },
    ...(htpasswd || token
      ? {
          auth: {
            ...(htpasswd ? { htpasswd: { realm: 'test', path: await file('htpasswd', htpasswd) } } : {}),
            ...(token
              ? {
                  token: {
                    realm: token.realm,
                    service: 'test',
                    issuer: 'test',
                    rootcertbundle: await file('roots.pem', token.roots),
                  },
                }
              : {}),
          },
        }
      : {}),
  };
  // JSON is YAML.
  const child = spawn(commandPath('docker-registry')!, ['serve', await file('config.yml', JSON.stringify(config))], {
    stdio: ['ignore', 'ignore', openSync(join(folder, 'log'), 'a')],
  });
  await listening(port, child);
  return { host: `127.0.0.1:${port}`, [Symbol.asyncDispose]: () => stopped(child) };
}

/** go-containerregistry's registry, with its referrers API on. Built on first use; the Go build cache keeps it. */
export async function startReferrersRegistry(folder: string): Promise<Server> {
  await mkdir(folder, { recursive: true });
  const binary = join(folder, 'referrers-registry');
  const source = join(import.meta.dirname, '..', 'fixtures', 'referrers-registry');
  await run(commandPath('go')!, ['build', '-o', binary, '.'], {
    cwd: source,
    env: { ...process.env, GOFLAGS: '-mod=readonly' },
  });
  const child = spawn(binary, [], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [host] = (await new Promise<string[]>((resolve, reject) => {
    createInterface({ input: child.stdout! }).once('line', (line) => resolve([line]));
    child.once('exit', (code) => reject(new Error(`referrers-registry ended with ${code}`)));
  })) as [string];
  return { host, [Symbol.asyncDispose]: () => stopped(child) };
}

export interface NpmServer extends Server {
  /** Of a user who has logged in. */
  readonly token: string;
}

/** Verdaccio in `folder`, without an upstream: who has logged in sees and publishes `@acme/*`, nobody anything else. */
export async function startVerdaccio(folder: string): Promise<NpmServer> {
  await mkdir(folder, { recursive: true });
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  const config = {
    storage: join(folder, 'storage'),
    auth: { htpasswd: { file: join(folder, 'htpasswd'), max_users: 10 } },
    uplinks: {},
    packages: { '@acme/*': { access: '$authenticated', publish: '$authenticated' } },
    web: { enable: false },
    log: { type: 'stdout', format: 'json', level: 'error' },
  };
  await writeFile(join(folder, 'config.yaml'), JSON.stringify(config));
  const log = openSync(join(folder, 'log'), 'a');
  const child = spawn(commandPath('verdaccio')!, ['--config', join(folder, 'config.yaml'), '--listen', host], {
    stdio: ['ignore', log, log],
  });
  await listening(port, child);
  const name = 'builder';
  const answer = await fetch(`http://${host}/-/user/org.couchdb.user:${name}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name, password: randomUUID() }),
  });
  if (!answer.ok) throw new Error(`Verdaccio answers ${answer.status} to a new user`);
  const { token } = (await answer.json()) as { token: string };
  return { host, token, [Symbol.asyncDispose]: () => stopped(child) };
}

/** A token server as distribution's registry trusts one: JWTs that carry the certificate of the key they are signed with. */
export async function startTokenServer(signer: Issued, accounts: Readonly<Record<string, string>>): Promise<Server> {
  const key = createPrivateKey(signer.key);
  const x5c = [signer.certificate.replace(/-----[A-Z ]+-----|\s/g, '')];
  const server = http.createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://token');
    const [user = '', password = ''] = Buffer.from(
      request.headers.authorization?.slice('Basic '.length) ?? '',
      'base64',
    )
      .toString()
      .split(':');
    if (request.headers.authorization !== undefined && accounts[user] !== password)
      return void response.writeHead(401).end();
    const access = url.searchParams.getAll('scope').map((scope) => {
      const [type, name, actions = ''] = scope.split(':');
      return { type, name, actions: actions.split(',').filter((action) => user !== '' || action === 'pull') };
    });
    const now = Math.floor(Date.now() / 1000);
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = {
      iss: 'test',
      sub: user,
      aud: 'test',
      exp: now + 300,
      nbf: now - 10,
      iat: now,
      jti: randomUUID(),
      access,
    };
    const text = `${part({ typ: 'JWT', alg: 'ES256', x5c })}.${part(claims)}`;
    const signature = sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url');
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ token: `${text}.${signature}`, expires_in: 300 }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Passes requests on to a registry and counts them. */
export async function countingProxy(host: string): Promise<Server & { count(): number }> {
  let count = 0;
  const server = http.createServer((request, response) => {
    count += 1;
    const onward = http.request(
      `http://${host}${request.url}`,
      { method: request.method, headers: { ...request.headers, host } },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    count: () => count,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function listening(port: number, child: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
    const open = await new Promise<boolean>((resolve) => {
      const socket = net.connect(port, '127.0.0.1', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nothing listens on port ${port}`);
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}
