import { createHash } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';

export interface TarMember {
  readonly path: string;
  readonly content?: string | Uint8Array;
  readonly mode?: number;
  /** `0` a file (default), `1` a hard link, `2` a symlink, `5` a directory, `6` a fifo. */
  readonly flag?: string;
  readonly link?: string;
}

/** A gzipped ustar with exactly these members: what a packer makes, and what none would. */
export function tarball(members: readonly TarMember[]): Buffer {
  const blocks: Buffer[] = [];
  for (const { path, content = '', mode = 0o644, flag = '0', link = '' } of members) {
    const body = Buffer.from(content as string);
    const header = Buffer.alloc(512);
    header.write(path, 0, 100);
    header.write(`${mode.toString(8).padStart(7, '0')}\0`, 100);
    header.write('0000000\0'.repeat(2), 108);
    header.write(`${body.length.toString(8).padStart(11, '0')}\0`, 124);
    header.write('00000000000\0', 136);
    header.write(flag, 156);
    header.write(link, 157, 100);
    header.write('ustar\x0000', 257, 'latin1');
    header.fill(' ', 148, 156);
    header.write(
      `${[...header]
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
      148,
    );
    blocks.push(header, body, Buffer.alloc((512 - (body.length % 512)) % 512));
  }
  return gzipSync(Buffer.concat([...blocks, Buffer.alloc(1024)]));
}

export interface Release {
  readonly name: string;
  readonly version: string;
  /** More fields of its package.json, which the registry repeats. */
  readonly manifest?: Readonly<Record<string, unknown>>;
  /** Text by path within the package. */
  readonly files?: Readonly<Record<string, string>>;
  /** The whole tarball instead; its package.json then is its own affair. */
  readonly tarball?: Buffer;
  /** ISO 8601; null leaves it out, as registries without the `time` field do. */
  readonly uploaded?: string | null;
  /** Fields of `dist` that replace the right ones; undefined takes one away. */
  readonly dist?: Readonly<Record<string, unknown>>;
  /** What the registry says over what the tarball says. */
  readonly registryManifest?: Readonly<Record<string, unknown>>;
}

export type Fault =
  | { readonly kind: 'status'; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  | { readonly kind: 'body'; readonly type: string; readonly text: string }
  /** Sends so many bytes of the right answer, then closes the connection. */
  | { readonly kind: 'cut'; readonly after: number }
  /** Sends so many bytes of the right answer, then nothing more. */
  | { readonly kind: 'stall'; readonly after: number }
  | { readonly kind: 'redirect'; readonly to: string };

export interface Asked {
  /** Percent-decoded. */
  readonly path: string;
  readonly authorization: string | undefined;
  readonly accept: string | undefined;
  readonly range: string | undefined;
  readonly condition: string | undefined;
}

export interface RegistryOptions {
  /** The token every request must carry. */
  readonly token?: string;
  /** Where `dist.tarball` points, instead of the registry itself. */
  readonly tarballs?: (release: Release, file: string) => string;
  /** Answers 404 to the conventional path of tarballs; they are then only at `dist.tarball`. */
  readonly unconventional?: boolean;
  /** For a request, the how-manieth of its path. */
  readonly fault?: (asked: Asked, count: number) => Fault | undefined;
}

export interface FakeRegistry {
  /** With a trailing slash, as npm has it. */
  readonly url: string;
  readonly asked: readonly Asked[];
  publish(...releases: readonly Release[]): void;
  tag(name: string, tag: string, version: string): void;
  /** The integrity of what was published. */
  integrity(name: string, version: string): string;
  close(): Promise<void>;
}

interface Stored {
  readonly release: Release;
  readonly bytes: Buffer;
  readonly file: string;
}

/** An npm registry on loopback: documents in both forms, conditional requests, ranges, tokens, and faults on demand. */
export async function npmRegistry(options: RegistryOptions = {}): Promise<FakeRegistry> {
  const packages = new Map<string, Map<string, Stored>>();
  const tags = new Map<string, Record<string, string>>();
  const asked: Asked[] = [];
  const counts = new Map<string, number>();
  let url = '';

  const server = createServer((request, response) => {
    const path = decodeURIComponent((request.url ?? '/').split('?')[0] ?? '/');
    const seen: Asked = {
      path,
      authorization: request.headers.authorization,
      accept: request.headers.accept,
      range: request.headers.range,
      condition: request.headers['if-none-match'],
    };
    asked.push(seen);
    const count = (counts.get(path) ?? 0) + 1;
    counts.set(path, count);
    const fault = options.fault?.(seen, count);
    if (fault?.kind === 'status') return send(response, fault.status, 'text/plain', 'no', fault.headers);
    if (fault?.kind === 'redirect') return send(response, 302, 'text/plain', '', { location: fault.to });
    if (fault?.kind === 'body') return send(response, 200, fault.type, fault.text);
    if (options.token !== undefined && seen.authorization !== `Bearer ${options.token}`) {
      return send(response, 401, 'application/json', '{"error":"unauthorized"}');
    }
    const stored = findTarball(path);
    if (stored) return sendBytes(response, 'application/octet-stream', stored.bytes, seen, fault);
    const name = path.slice(1);
    if (!packages.has(name)) return send(response, 404, 'application/json', '{"error":"Not found"}');
    const text = JSON.stringify(documentOf(name, seen.accept?.includes('install-v1') ?? false));
    const etag = `"${createHash('sha1').update(text).digest('hex')}"`;
    if (seen.condition === etag) {
      response.writeHead(304, { etag });
      return response.end();
    }
    const zipped = request.headers['accept-encoding']?.includes('gzip') ?? false;
    response.setHeader('etag', etag);
    if (zipped) response.setHeader('content-encoding', 'gzip');
    sendBytes(
      response,
      'application/json',
      zipped ? gzipSync(text) : Buffer.from(text),
      { ...seen, range: undefined },
      fault,
    );
  });

  function findTarball(path: string): Stored | undefined {
    for (const versions of packages.values()) {
      for (const stored of versions.values()) {
        const conventional = `/${stored.release.name}/-/${stored.file}`;
        if (path === `/elsewhere/${stored.file}` || (path === conventional && !options.unconventional)) return stored;
      }
    }
    return undefined;
  }

  function documentOf(name: string, corgi: boolean): unknown {
    const versions: Record<string, unknown> = {};
    const time: Record<string, string> = {};
    for (const [version, { release, bytes, file }] of packages.get(name) ?? []) {
      const { scripts, ...manifest } = { name, version, ...release.manifest, ...release.registryManifest } as Record<
        string,
        unknown
      >;
      const conventional = `${url}${name}/-/${file}`;
      versions[version] = {
        ...manifest,
        ...(corgi ? { hasInstallScript: scripts !== undefined } : { scripts, readme: 'much text' }),
        dist: {
          tarball:
            options.tarballs?.(release, file) ?? (options.unconventional ? `${url}elsewhere/${file}` : conventional),
          integrity: sri(bytes),
          shasum: createHash('sha1').update(bytes).digest('hex'),
          ...release.dist,
        },
      };
      if (release.uploaded !== null) time[version] = release.uploaded ?? '2020-01-01T00:00:00.000Z';
    }
    return {
      name,
      'dist-tags': { latest: [...(packages.get(name)?.keys() ?? [])].at(-1), ...tags.get(name) },
      versions,
      ...(corgi ? {} : { time }),
    };
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return {
    url,
    asked,
    publish(...releases) {
      for (const release of releases) {
        const { name, version } = release;
        const versions = packages.get(name) ?? new Map<string, Stored>();
        versions.set(version, {
          release,
          bytes: release.tarball ?? pack(release),
          file: `${name.split('/').at(-1)}-${version}.tgz`,
        });
        packages.set(name, versions);
      }
    },
    tag(name, tag, version) {
      tags.set(name, { ...tags.get(name), [tag]: version });
    },
    integrity: (name, version) => sri(packages.get(name)?.get(version)?.bytes ?? Buffer.alloc(0)),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** What `npm pack` makes of a package. */
export function pack({ name, version, manifest, files }: Release): Buffer {
  return tarball([
    ...Object.entries(files ?? {}).map(([path, content]) => ({ path: `package/${path}`, content })),
    { path: 'package/package.json', content: JSON.stringify({ name, version, ...manifest }) },
  ]);
}

function sri(bytes: Uint8Array): string {
  return `sha512-${createHash('sha512').update(bytes).digest('base64')}`;
}

function send(
  response: ServerResponse,
  status: number,
  type: string,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body), ...headers });
  response.end(body);
}

function sendBytes(
  response: ServerResponse,
  type: string,
  bytes: Buffer,
  asked: Asked,
  fault: Fault | undefined,
): void {
  const from = Number(/^bytes=(\d+)-$/.exec(asked.range ?? '')?.[1] ?? 0);
  const body = bytes.subarray(from);
  response.writeHead(from > 0 ? 206 : 200, {
    'content-type': type,
    'content-length': body.length,
    ...(from > 0 ? { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {}),
  });
  if (fault?.kind === 'cut') response.write(body.subarray(0, fault.after), () => response.destroy());
  else if (fault?.kind === 'stall') response.write(body.subarray(0, fault.after));
  else response.end(body);
}
