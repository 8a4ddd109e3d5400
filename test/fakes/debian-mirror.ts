import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as openpgp from 'openpgp';
import { controlOf, type DebSpec, makeDeb } from './deb.ts';
import { storedXz } from './xz.ts';

export interface SigningKey {
  readonly privateKey: openpgp.PrivateKey;
  /** Armoured. */
  readonly publicKey: string;
}

/** A throw-away key. @param expires in seconds after `created` */
export async function makeKey(options: { created?: Date; expires?: number } = {}): Promise<SigningKey> {
  const { privateKey } = await openpgp.generateKey({
    type: 'curve25519',
    userIDs: [{ name: 'Archive', email: 'archive@example.test' }],
    date: options.created ?? new Date('2026-01-01T00:00:00Z'),
    keyExpirationTime: options.expires ?? 0,
    format: 'object',
  });
  return { privateKey, publicKey: privateKey.toPublic().armor() };
}

export async function revoked(key: SigningKey, date: Date): Promise<string> {
  const { publicKey } = await openpgp.revokeKey({ key: key.privateKey, format: 'object', date });
  return publicKey.armor();
}

/** Clear-signs as the archive does, by all given keys. */
export async function clearSign(text: string, keys: readonly SigningKey[], date: Date): Promise<string> {
  const message = await openpgp.createCleartextMessage({ text });
  return openpgp.sign({ message, signingKeys: keys.map((key) => key.privateKey), date });
}

export interface Suite {
  readonly name: string;
  readonly date: Date;
  readonly keys: readonly SigningKey[];
  readonly packages: readonly DebSpec[];
  readonly validUntil?: Date;
  /** What `Codename` says; the suite's own name by default. */
  readonly codename?: string;
  readonly byHash?: boolean;
  /** Changes what is signed, for indexes that lie. */
  readonly edit?: (release: string) => string;
}

export type Fault =
  | { readonly kind: 'status'; readonly status: number }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** Breaks the connection after so many bytes, so many times. */
  | { readonly kind: 'break'; readonly after: number; times: number }
  | { readonly kind: 'stall'; readonly after: number };

/** A Debian mirror over loopback HTTP: `/debian`, `/debian-security`, and a snapshot service at `/snapshot`. */
export class DebianMirror {
  readonly requests: {
    readonly path: string;
    readonly authorization: string | undefined;
    readonly range: string | undefined;
  }[] = [];
  /** Path below the host → bytes. */
  readonly files = new Map<string, Uint8Array>();
  readonly faults = new Map<string, Fault>();
  readonly #server = createServer((request, response) => this.#answer(request, response));

  static async start(): Promise<DebianMirror> {
    const mirror = new DebianMirror();
    await new Promise<void>((resolve) => mirror.#server.listen(0, '127.0.0.1', resolve));
    return mirror;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get environment(): Record<string, string> {
    return { MCP_BUILD_DEBIAN_MIRROR: `http://${this.host}/debian` };
  }

  /** Puts a suite on the mirror, with its debs in the pool, and gives the pool path of each. */
  async publish(suite: Suite): Promise<Readonly<Record<string, string>>> {
    const security = suite.name.endsWith('-security');
    const archive = security ? '/debian-security' : '/debian';
    const paths: Record<string, string> = {};
    const stanzas: Record<string, string[]> = { amd64: [], arm64: [] };
    for (const spec of suite.packages) {
      const deb = makeDeb(spec);
      const architecture = spec.architecture ?? 'amd64';
      const file = `${spec.name}_${(spec.version ?? '1.0-1').replace(/^\d+:/, '')}_${architecture}.deb`;
      const path = `pool/${security ? 'updates/' : ''}main/${spec.name[0]}/${spec.name}/${file}`;
      paths[spec.name] = path;
      this.files.set(`${archive}/${path}`, deb);
      const stanza = `${controlOf(spec)}\nFilename: ${path}\nSize: ${deb.length}\nSHA256: ${hash(deb)}\n`;
      for (const one of architecture === 'all' ? ['amd64', 'arm64'] : [architecture]) stanzas[one]?.push(stanza);
    }
    const lines: string[] = [];
    const dists = `${archive}/dists/${suite.name}`;
    for (const [architecture, list] of Object.entries(stanzas)) {
      const plain = Buffer.from(list.join('\n'));
      const packed = storedXz(plain);
      const folder = `main/binary-${architecture}`;
      lines.push(` ${hash(plain)} ${plain.length} ${folder}/Packages`);
      lines.push(` ${hash(packed)} ${packed.length} ${folder}/Packages.xz`);
      this.files.set(`${dists}/${folder}/Packages.xz`, packed);
      if (suite.byHash !== false) this.files.set(`${dists}/${folder}/by-hash/SHA256/${hash(packed)}`, packed);
    }
    const release = [
      'Origin: Debian',
      'Suite: stable',
      `Codename: ${suite.codename ?? suite.name}`,
      `Date: ${suite.date.toUTCString().replace('GMT', 'UTC')}`,
      ...(suite.validUntil ? [`Valid-Until: ${suite.validUntil.toUTCString().replace('GMT', 'UTC')}`] : []),
      ...(suite.byHash === false ? [] : ['Acquire-By-Hash: yes']),
      'No-Support-for-Architecture-all: Packages',
      'Architectures: all amd64 arm64',
      'Components: main',
      'SHA256:',
      ...lines,
      '',
    ].join('\n');
    const signed = await clearSign(suite.edit?.(release) ?? release, suite.keys, suite.date);
    this.files.set(`${dists}/InRelease`, Buffer.from(signed));
    return paths;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = decodeURIComponent(request.url ?? '');
    const { authorization, range } = request.headers;
    this.requests.push({ path, authorization, range });
    const fault = this.faults.get(path);
    if (fault?.kind === 'status') {
      response.writeHead(fault.status).end('<html>no</html>');
      return;
    }
    const whole = fault?.kind === 'bytes' ? fault.bytes : this.files.get(path);
    if (!whole) {
      response.writeHead(404).end('not found');
      return;
    }
    const start = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
    const bytes = whole.subarray(start);
    const headers: Record<string, string | number> = { 'content-length': bytes.length };
    if (start > 0) headers['content-range'] = `bytes ${start}-${whole.length - 1}/${whole.length}`;
    response.writeHead(start > 0 ? 206 : 200, headers);
    if (fault?.kind === 'break' && fault.times-- > 0) {
      response.write(bytes.subarray(0, fault.after), () => setTimeout(() => response.destroy(), 20));
      return;
    }
    if (fault?.kind === 'stall') {
      response.write(bytes.subarray(0, fault.after));
      return;
    }
    response.end(bytes);
  }
}

function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
