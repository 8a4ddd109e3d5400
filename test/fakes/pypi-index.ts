import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface IndexFile {
  /** The file's name; its project is what the index is told. */
  readonly file: string;
  readonly bytes: Uint8Array;
  /** ISO instant; null leaves it out, as an index without PEP 700 does. */
  readonly uploaded?: string | null;
  readonly yanked?: boolean;
  /** What the page says instead of the file's own hash; null leaves it out. */
  readonly sha256?: string | null;
  readonly requiresPython?: string;
}

/** How the index misbehaves for one request. */
export type Fault =
  | { readonly kind: 'status'; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** Never answers. */
  | { readonly kind: 'silent' }
  | { readonly kind: 'body'; readonly type: string; readonly text: string }
  /** Sends so many bytes of the right answer, then closes. */
  | { readonly kind: 'cut'; readonly after: number }
  /** Sends so many bytes of the right answer, then stays silent. */
  | { readonly kind: 'stall'; readonly after: number }
  | { readonly kind: 'redirect'; readonly to: string };

export interface Asked {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly range: string | undefined;
  readonly accept: string | undefined;
}

export interface IndexOptions {
  /** `json` (PEP 691 with PEP 700's fields) or `html` (PEP 503). */
  readonly format?: 'json' | 'html';
  readonly auth?: { readonly username: string; readonly password: string };
  /** Whether files want the credentials too. */
  readonly authFiles?: boolean;
  /** Origin that files are served from, when not the index's own. */
  readonly filesAt?: string;
  readonly fault?: (asked: Asked, count: number) => Fault | undefined;
}

export interface FakeIndex {
  /** The simple API's root. */
  readonly url: string;
  readonly origin: string;
  readonly asked: readonly Asked[];
  add(project: string, ...files: readonly IndexFile[]): void;
  close(): Promise<void>;
}

/** A package index on loopback that speaks PEP 503, 691 and 700, and misbehaves on demand. */
export async function pypiIndex(options: IndexOptions = {}): Promise<FakeIndex> {
  const projects = new Map<string, IndexFile[]>();
  const asked: Asked[] = [];
  const counts = new Map<string, number>();

  const server = createServer((request, response) => {
    const path = decodeURIComponent((request.url ?? '/').split('?')[0] ?? '/');
    const seen: Asked = {
      path,
      authorization: request.headers.authorization,
      range: request.headers.range,
      accept: request.headers.accept,
    };
    asked.push(seen);
    const count = (counts.get(path) ?? 0) + 1;
    counts.set(path, count);
    const fault = options.fault?.(seen, count);
    if (fault?.kind === 'silent') return;
    if (fault?.kind === 'status') end(response, fault.status, 'text/plain', 'no', fault.headers);
    else if (fault?.kind === 'redirect') end(response, 302, 'text/plain', '', { location: fault.to });
    else if (fault?.kind === 'body') end(response, 200, fault.type, fault.text);
    else answer(path, request, response, fault);
  });

  function answer(path: string, request: IncomingMessage, response: ServerResponse, fault: Fault | undefined): void {
    const simple = /^\/simple\/([^/]+)\/$/.exec(path);
    const file = /^\/files\/([^/]+)\/([^/]+)$/.exec(path);
    const files = projects.get(simple?.[1] ?? file?.[1] ?? '');
    const found = files?.find((one) => one.file === file?.[2]);
    if (!permitted(request, file !== null)) {
      end(response, 401, 'text/plain', 'no', { 'www-authenticate': 'Basic realm="index"' });
    } else if (files && simple) {
      const [type, text] = options.format === 'html' ? htmlPage(files, simple[1]!) : jsonPage(files, simple[1]!);
      send(response, type, Buffer.from(text), request, fault);
    } else if (found) send(response, 'application/octet-stream', Buffer.from(found.bytes), request, fault);
    else end(response, 404, 'text/plain', 'not found');
  }

  function permitted(request: IncomingMessage, isFile: boolean): boolean {
    if (!options.auth || (isFile && !options.authFiles)) return true;
    const { username, password } = options.auth;
    return request.headers.authorization === `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  }

  function urlOf(project: string, file: IndexFile): string {
    return `${options.filesAt ?? ''}/files/${project}/${file.file}`;
  }

  function hashOf(file: IndexFile): string | undefined {
    if (file.sha256 === null) return undefined;
    return file.sha256 ?? createHash('sha256').update(file.bytes).digest('hex');
  }

  function jsonPage(files: readonly IndexFile[], project: string): [string, string] {
    const body = {
      meta: { 'api-version': '1.1' },
      name: project,
      versions: [],
      files: files.map((file) => {
        const hash = hashOf(file);
        return {
          filename: file.file,
          url: urlOf(project, file),
          hashes: hash === undefined ? {} : { sha256: hash },
          size: file.bytes.length,
          yanked: file.yanked ?? false,
          ...(file.requiresPython ? { 'requires-python': file.requiresPython } : {}),
          ...(file.uploaded === null ? {} : { 'upload-time': file.uploaded ?? '2026-01-01T00:00:00Z' }),
        };
      }),
    };
    return ['application/vnd.pypi.simple.v1+json', JSON.stringify(body)];
  }

  function htmlPage(files: readonly IndexFile[], project: string): [string, string] {
    const anchors = files.map((file) => {
      const hash = hashOf(file);
      const href = `${urlOf(project, file)}${hash === undefined ? '' : `#sha256=${hash}`}`;
      return `<a href="${href.replaceAll('&', '&amp;')}">${file.file}</a><br/>`;
    });
    return ['text/html', `<!DOCTYPE html><html><head><title>x</title></head><body>${anchors.join('\n')}</body></html>`];
  }

  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: `${origin}/simple/`,
    origin,
    asked,
    add: (project, ...files) => projects.set(project, [...(projects.get(project) ?? []), ...files]),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function end(
  response: ServerResponse,
  status: number,
  type: string,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'content-type': type, ...headers });
  response.end(text);
}

function send(
  response: ServerResponse,
  type: string,
  bytes: Buffer,
  request: IncomingMessage,
  fault: Fault | undefined,
): void {
  const from = Number(/^bytes=([0-9]+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const rest = bytes.subarray(from);
  const ranged = request.headers.range !== undefined;
  response.writeHead(ranged ? 206 : 200, {
    'content-type': type,
    'content-length': rest.length,
    'accept-ranges': 'bytes',
    ...(ranged ? { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {}),
  });
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  if (fault?.kind === 'cut' || fault?.kind === 'stall') {
    response.write(rest.subarray(0, fault.after), () => {
      if (fault.kind === 'cut') setTimeout(() => response.destroy(), 20);
    });
    return;
  }
  response.end(rest);
}
