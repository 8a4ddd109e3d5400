import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import http, { type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

type Json = Readonly<Record<string, unknown>>;

/** An Ed25519 key of a role, as metadata names it. */
export interface TufKey {
  readonly id: string;
  readonly described: Json;
  readonly secret: KeyObject;
}

export interface Publication {
  readonly target: string;
  /** Of timestamp, snapshot and targets; each publication has a higher one by default. */
  readonly version?: number;
  /** ISO; in a year by default. */
  readonly expires?: Readonly<Partial<Record<'timestamp' | 'snapshot' | 'targets', string>>>;
  readonly signer?: TufKey;
  /** What targets say of the target, where that isn't the truth. */
  readonly claimed?: { readonly length?: number; readonly hash?: string };
}

/** A TUF repository over loopback that signs for itself: consistent snapshots, one key for root and one for the other roles. */
export interface TufRepository {
  readonly url: string;
  /** The first root.json, for clients to begin with. */
  readonly first: string;
  readonly files: Map<string, Buffer>;
  /** Paths that were asked for. */
  readonly seen: string[];
  publish(what: Publication): void;
  /** A next root, by default signed by the old and the new key. */
  rotate(options?: { readonly by?: readonly TufKey[]; readonly expires?: string }): void;
  /** Answers a path in another way; false leaves it alone. */
  fault: ((path: string, response: ServerResponse) => boolean) | undefined;
  stop(): Promise<void>;
}

const NEXT_YEAR = new Date(Date.now() + 365 * 86_400_000).toISOString().replace(/\.\d+Z$/, 'Z');

export function tufKey(): TufKey {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32).toString('hex');
  const described = { keytype: 'ed25519', scheme: 'ed25519', keyval: { public: raw } };
  return { id: sha256(Buffer.from(canonical(described))), described, secret: privateKey };
}

export async function startTufRepository(): Promise<TufRepository> {
  const files = new Map<string, Buffer>();
  const seen: string[] = [];
  const online = tufKey();
  let rootKey = tufKey();
  let rootVersion = 0;
  let version = 0;

  const writeRoot = (by: readonly TufKey[], expires: string) => {
    rootVersion += 1;
    const role = (key: TufKey) => ({ keyids: [key.id], threshold: 1 });
    const body = {
      ...common('root', rootVersion, expires),
      consistent_snapshot: true,
      keys: { [rootKey.id]: rootKey.described, [online.id]: online.described },
      roles: { root: role(rootKey), timestamp: role(online), snapshot: role(online), targets: role(online) },
    };
    files.set(`/${rootVersion}.root.json`, signed(body, by));
  };
  writeRoot([rootKey], NEXT_YEAR);

  const server = http.createServer((request, response) => {
    const path = request.url ?? '/';
    seen.push(path);
    if (repository.fault?.(path, response)) return;
    const file = files.get(path);
    response.writeHead(file ? 200 : 404).end(file);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  const repository: TufRepository = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    first: files.get('/1.root.json')!.toString('utf8'),
    files,
    seen,
    fault: undefined,
    publish: ({ target, version: given, expires = {}, signer = online, claimed = {} }) => {
      version = given ?? version + 1;
      const bytes = Buffer.from(target);
      const hash = claimed.hash ?? sha256(bytes);
      files.set(`/targets/${hash}.trusted_root.json`, bytes);
      const told = { length: claimed.length ?? bytes.length, hashes: { sha256: hash } };
      const targets = signed(
        { ...common('targets', version, expires.targets ?? NEXT_YEAR), targets: { 'trusted_root.json': told } },
        [signer],
      );
      const snapshot = signed(
        { ...common('snapshot', version, expires.snapshot ?? NEXT_YEAR), meta: { 'targets.json': { version } } },
        [signer],
      );
      const timestamp = signed(
        { ...common('timestamp', version, expires.timestamp ?? NEXT_YEAR), meta: { 'snapshot.json': { version } } },
        [signer],
      );
      files.set(`/${version}.targets.json`, targets);
      files.set(`/${version}.snapshot.json`, snapshot);
      files.set('/timestamp.json', timestamp);
    },
    rotate: ({ by, expires = NEXT_YEAR } = {}) => {
      const old = rootKey;
      rootKey = tufKey();
      writeRoot(by ?? [old, rootKey], expires);
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return repository;
}

function common(type: string, version: number, expires: string): Json {
  return { _type: type, spec_version: '1.0.31', version, expires };
}

function signed(body: Json, keys: readonly TufKey[]): Buffer {
  const bytes = Buffer.from(canonical(body));
  const signatures = keys.map(({ id, secret }) => ({ keyid: id, sig: sign(null, bytes, secret).toString('hex') }));
  return Buffer.from(JSON.stringify({ signatures, signed: body }));
}

/** OLPC's canonical JSON, of plain ASCII and whole numbers. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, one]) => `${JSON.stringify(name)}:${canonical(one)}`).join(',')}}`;
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
