import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Duplex, PassThrough } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import type { Endpoint } from '../../runner/index.ts';

/** What runs in a fake container. */
export interface Program {
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly stdout: (bytes: Uint8Array | string) => Promise<void>;
  readonly stderr: (bytes: Uint8Array | string) => Promise<void>;
  /** Settles with the signal that ends it. */
  readonly killed: Promise<string>;
  readonly spec: Spec;
}

export interface Spec {
  readonly Image: string;
  readonly Env?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Labels?: Readonly<Record<string, string>>;
  readonly HostConfig: Readonly<Record<string, unknown>> & {
    readonly Mounts?: readonly { Type: string; Source?: string; Target: string; ReadOnly: boolean }[];
  };
}

interface Container {
  readonly id: string;
  readonly name: string;
  readonly spec: Spec;
  state: 'created' | 'running' | 'exited';
  exitCode: number;
  oom: boolean;
  socket: Duplex | undefined;
  kill: (signal: string) => void;
  readonly killed: Promise<string>;
  readonly waiters: http.ServerResponse[];
}

interface ImageConfig {
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Labels?: Readonly<Record<string, string>>;
}

interface LoadedImage {
  readonly Id: string;
  readonly RepoTags: readonly string[];
  readonly RootFS: { readonly Layers: readonly string[] };
  readonly Config: ImageConfig;
}

export interface FakeDocker {
  readonly endpoint: Endpoint;
  readonly socket: string;
  readonly containers: ReadonlyMap<string, Container>;
  /** `METHOD /path` of every request, in order, without the version. */
  readonly requests: readonly string[];
  /** Images by id, as `inspect` shows them. */
  readonly images: Map<string, LoadedImage>;
  /** Names of the files of each tar that was loaded. */
  readonly loads: string[][];
  stop(): Promise<void>;
}

export interface FakeOptions {
  /** What every container runs; `cat` by default. Its result is the exit code. */
  readonly program?: (program: Program) => Promise<number>;
  /** Answers instead of the daemon, when it returns something. */
  readonly answer?: (method: string, path: string) => { status: number; body: unknown } | undefined;
  /** Changes what `inspect` says: a daemon that builds other walls. */
  readonly inspect?: (answer: Record<string, unknown>) => Record<string, unknown>;
  /** What `load` answers, with status 200. */
  readonly load?: (files: readonly string[]) => string;
  /** How long `load` takes, in milliseconds. */
  readonly loadDelay?: number;
  /** As containerd's image store does: ids are digests of manifests. */
  readonly containerd?: boolean;
  /** `WaitExit` hangs as a real one does after a start that failed. */
  readonly info?: Record<string, unknown>;
  /** The version of its API; that of Docker 20.10 by default. */
  readonly api?: string;
}

/** Docker's Engine API over a Unix socket, as far as the runner uses it, with the framing and the hijacked connection of a real one. */
export async function fakeDocker(options: FakeOptions = {}): Promise<FakeDocker> {
  const folder = await mkdtemp(join(tmpdir(), 'fake-docker-'));
  const socket = join(folder, 'docker.sock');
  const containers = new Map<string, Container>();
  const images: FakeDocker['images'] = new Map();
  const requests: string[] = [];
  const loads: string[][] = [];
  const connections = new Set<Duplex>();
  const program = options.program ?? cat;

  const respond = (response: http.ServerResponse, status: number, body?: unknown) => {
    response.writeHead(status, { 'content-type': 'application/json', 'api-version': options.api ?? '1.41' });
    response.end(body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body));
  };
  const find = (key: string) => containers.get(key) ?? [...containers.values()].find(({ id }) => id === key);

  const server = http.createServer(async (request, response) => {
    const path = (request.url ?? '').replace(/^\/v[0-9.]+/, '');
    const method = request.method ?? '';
    requests.push(`${method} ${path}`);
    const forced = options.answer?.(method, path);
    if (forced) return respond(response, forced.status, forced.body);
    const body = await collect(request).catch(() => undefined);
    // The client went away in the middle: nothing came of it.
    if (!body) return;
    if (path === '/_ping') return respond(response, 200, 'OK');
    if (path === '/info') {
      return respond(response, 200, {
        SecurityOptions: ['name=seccomp,profile=default'],
        SwapLimit: true,
        NCPU: 2,
        ...options.info,
      });
    }
    const image = /^\/images\/([^/]+)\/json$/.exec(path);
    if (image?.[1]) {
      const found = images.get(decodeURIComponent(image[1]));
      return found ? respond(response, 200, found) : respond(response, 404, { message: 'No such image' });
    }
    if (path === '/images/json')
      return respond(
        response,
        200,
        [...images.values()].map(({ Id }) => ({ Id, Created: 1 })),
      );
    if (/^\/images\/[^/]+\/tag/.test(path)) return respond(response, 201);
    if (path.startsWith('/images/load')) {
      const files = untar(body);
      loads.push([...files.keys()]);
      if (options.loadDelay !== undefined) await setTimeout(options.loadDelay);
      const said = options.load?.([...files.keys()]);
      if (said !== undefined) return respond(response, 200, said);
      const lacking = register(files, images, options.containerd === true);
      return respond(
        response,
        200,
        lacking ? `{"errorDetail":{"message":"${lacking}"},"error":"${lacking}"}\n` : '{"stream":"Loaded"}\n',
      );
    }
    if (path.startsWith('/networks')) return respond(response, 200, {});
    if (path.startsWith('/containers/create')) {
      const name = new URL(path, 'http://docker').searchParams.get('name') ?? '';
      if (containers.has(name)) return respond(response, 409, { message: 'Conflict' });
      const container = newContainer(name, JSON.parse(body.toString('utf8')) as Spec);
      containers.set(name, container);
      return respond(response, 201, { Id: container.id, Warnings: [] });
    }
    if (path.startsWith('/containers/json')) {
      const wanted = JSON.parse(new URL(path, 'http://docker').searchParams.get('filters') ?? '{}') as {
        label?: string[];
      };
      const list = [...containers.values()].filter(({ spec }) =>
        (wanted.label ?? []).every((label) => {
          const at = label.indexOf('=');
          return spec.Labels?.[label.slice(0, at)] === label.slice(at + 1);
        }),
      );
      return respond(
        response,
        200,
        list.map(({ id, name, state, spec }) => ({
          Id: id,
          Names: [`/${name}`],
          State: state,
          Created: 1,
          Labels: spec.Labels,
        })),
      );
    }
    const match = /^\/containers\/([^/?]+)(?:\/([a-z]+))?/.exec(path);
    const container = find(decodeURIComponent(match?.[1] ?? ''));
    if (!container) return respond(response, 404, { message: 'No such container' });
    switch (match?.[2]) {
      case 'json':
        return respond(
          response,
          200,
          (options.inspect ?? ((answer) => answer))(
            inspected(container, images.get(container.spec.Image)?.Config ?? {}),
          ),
        );
      case 'wait':
        response.writeHead(200, { 'content-type': 'application/json' });
        response.flushHeaders();
        container.waiters.push(response);
        return;
      case 'start':
        respond(response, 204);
        container.state = 'running';
        return void run(container, program);
      case 'kill': {
        if (container.state !== 'running') return respond(response, 409, { message: 'is not running' });
        respond(response, 204);
        return container.kill(new URL(path, 'http://docker').searchParams.get('signal') ?? 'SIGKILL');
      }
      case undefined:
        containers.delete(container.name);
        container.kill('SIGKILL');
        return respond(response, 204);
      default:
        return respond(response, 404, { message: `no ${path}` });
    }
  });
  server.on('upgrade', (request, connection: Duplex) => {
    const path = (request.url ?? '').replace(/^\/v[0-9.]+/, '');
    requests.push(`${request.method} ${path}`);
    const name = /^\/containers\/([^/?]+)\/attach/.exec(path)?.[1] ?? '';
    const container = find(decodeURIComponent(name));
    if (!container) return void connection.end('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n');
    connection.write(
      'HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n',
    );
    connection.on('error', () => undefined);
    connections.add(connection);
    container.socket = connection;
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return {
    endpoint: { kind: 'unix', path: socket },
    socket,
    containers,
    requests,
    images,
    loads,
    async stop() {
      for (const connection of connections) connection.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A frame as a daemon writes it. */
export function frame(stream: 1 | 2, bytes: Uint8Array | string): Buffer {
  const content = Buffer.from(bytes);
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(content.length, 4);
  return Buffer.concat([header, content]);
}

async function cat({ stdin, stdout }: Program): Promise<number> {
  for await (const chunk of stdin) await stdout(chunk);
  return 0;
}

function newContainer(name: string, spec: Spec): Container {
  const { promise: killed, resolve: kill } = Promise.withResolvers<string>();
  const id = randomBytes(32).toString('hex');
  return { id, name, spec, state: 'created', exitCode: 0, oom: false, socket: undefined, kill, killed, waiters: [] };
}

async function run(container: Container, program: (program: Program) => Promise<number>): Promise<void> {
  const { socket } = container;
  const write = (stream: 1 | 2) => async (bytes: Uint8Array | string) => {
    if (!socket || socket.destroyed || socket.write(frame(stream, bytes))) return;
    await new Promise<void>((resolve) => {
      const on = () => {
        socket.off('drain', on).off('close', on);
        resolve();
      };
      socket.on('drain', on).on('close', on);
    });
  };
  const stdin = new PassThrough();
  socket?.pipe(stdin);
  const killed = container.killed.then((signal) => 128 + (signal === 'SIGTERM' ? 15 : signal === 'SIGINT' ? 2 : 9));
  const ran = program({ stdin, stdout: write(1), stderr: write(2), killed: container.killed, spec: container.spec });
  container.exitCode = await Promise.race([
    ran,
    container.killed.then(() => new Promise<never>(() => undefined)),
    killed.then(async (code) => {
      // A program that looks at `killed` decides itself; it gets a moment to.
      await setTimeout(50);
      return code;
    }),
  ]);
  container.state = 'exited';
  socket?.end();
  for (const waiter of container.waiters) waiter.end(JSON.stringify({ StatusCode: container.exitCode }));
}

function inspected({ id, name, spec, state, exitCode, oom }: Container, image: ImageConfig): Record<string, unknown> {
  const { HostConfig, Labels, ...config } = spec;
  return {
    Id: id,
    Name: `/${name}`,
    Image: spec.Image,
    State: { Status: state, Running: state === 'running', ExitCode: exitCode, OOMKilled: oom },
    Config: {
      ...image,
      ...config,
      Labels: { ...image.Labels, ...Labels },
      Env: [...(image.Env ?? []), ...(spec.Env ?? [])],
      Cmd: spec.Cmd ?? image.Cmd ?? null,
    },
    HostConfig: { ...HostConfig, Runtime: 'runc' },
    Mounts: (HostConfig.Mounts ?? []).map(({ Type, Source, Target, ReadOnly }) => ({
      Type,
      Source,
      Destination: Target,
      RW: !ReadOnly,
    })),
  };
}

async function collect(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function untar(bytes: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (let at = 0; at + 512 <= bytes.length && bytes[at] !== 0; ) {
    const name = bytes.toString('latin1', at, at + 100).replace(/\0.*$/s, '');
    const size = Number.parseInt(bytes.toString('latin1', at + 124, at + 135), 8);
    files.set(name, bytes.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

/** @returns what a daemon says when a layer is neither in the tar nor known to it */
function register(files: Map<string, Buffer>, images: FakeDocker['images'], containerd: boolean): string | undefined {
  const known = new Set([...images.values()].flatMap(({ RootFS }) => RootFS.Layers));
  const [entry] = JSON.parse(files.get('manifest.json')?.toString() ?? '[]') as {
    Config: string;
    RepoTags: string[];
    Layers: string[];
  }[];
  const config = files.get(entry?.Config ?? '') ?? Buffer.from('{}');
  const { rootfs, config: Config = {} } = JSON.parse(config.toString()) as {
    rootfs: { diff_ids: string[] };
    config?: ImageConfig;
  };
  for (const [position, file] of (entry?.Layers ?? []).entries()) {
    if (!files.has(file) && !known.has(rootfs.diff_ids[position] ?? '')) return `open ${file}: no such file`;
  }
  const index = JSON.parse(files.get('index.json')?.toString() ?? '{}') as { manifests: { digest: string }[] };
  const id = containerd
    ? (index.manifests[0]?.digest ?? '')
    : `sha256:${createHash('sha256').update(config).digest('hex')}`;
  images.set(id, { Id: id, RepoTags: entry?.RepoTags ?? [], RootFS: { Layers: rootfs.diff_ids }, Config });
  return undefined;
}
