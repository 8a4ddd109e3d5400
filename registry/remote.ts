import { type Digest, isDigest, parseDigest, sha256, verified } from '../digest/index.ts';
import { isFault, McpBuildError } from '../errors/index.ts';
import { notFound, readDocument, referrersUnavailable, replayable } from './layout-read.ts';
import { MANIFEST_LIMIT, parseManifest } from './manifest.ts';
import { ACCEPTED_MANIFESTS, bareType, isManifestType } from './media.ts';
import { isRegistryTag, type RemoteReference, tagInvalid } from './reference.ts';
import { inOrder, referralOf, subjectOfTag } from './referrers.ts';
import { type Certificates, certificateFolders } from './remote/certificates.ts';
import { type Credential, findCredential } from './remote/credentials.ts';
import { protocolFault } from './remote/fault.ts';
import { addToTag, type Batch, listByApi, listByTag } from './remote/listing.ts';
import { openNetwork } from './remote/network.ts';
import type { Environment } from './remote/proxy.ts';
import { pull } from './remote/pull.ts';
import type { Persistence } from './remote/retry.ts';
import { openSession } from './remote/session.ts';
import { upload } from './remote/upload.ts';
import { onceOf, type Patience, readBody } from './remote/wire.ts';
import type { Descriptor, Lending, Store } from './store.ts';

export interface RemoteOptions {
  /** The user's variables: where credentials are, and proxies. Default: none. */
  readonly environment?: Environment;
  /** Used instead of what the environment's files and helpers keep. */
  readonly credential?: Credential;
  readonly certificates?: Certificates;
  /** Speak plain HTTP with a registry that isn't on this machine. */
  readonly plainHttp?: boolean;
  readonly patience?: Partial<Patience>;
  readonly persistence?: Partial<Persistence>;
  /** In bytes: send blobs in pieces of this size; by default whole, and in pieces only where the registry won't have it whole. */
  readonly chunk?: number;
  readonly signal?: AbortSignal;
}

export interface RemoteStore extends Store {
  readonly registry: string;
  readonly repository: string;
  open(descriptor: Descriptor, lending?: Lending): AsyncIterable<Uint8Array>;
  /**
   * As `write`, which is repeated when it fails on the way if `bytes` can be iterated again.
   * @param mountFrom a repository of the same registry that may have the blob. @returns how it got there
   */
  upload(descriptor: Descriptor, bytes: AsyncIterable<Uint8Array>, mountFrom?: string): Promise<'mounted' | 'sent'>;
  /** Asks the registry whether it takes our credentials. @throws McpBuildError `unauthorized` and what every request throws */
  ping(): Promise<void>;
}

const PATIENCE: Patience = { connect: 15_000, stall: 30_000 };
const PERSISTENCE: Persistence = { attempts: 5, total: 90_000, pause: 300 };
/** In bytes: manifests seen are remembered up to here, since a tag is set by sending the manifest again. */
const REMEMBERED = 8 * 1024 * 1024;

/**
 * One repository of a registry (distribution-spec 1.1). Nothing is asked before the first call.
 * @throws McpBuildError from every call: `unauthorized`, `not-found`, `integrity`, `registry-refused`, `registry-unavailable`, `tls`,
 * `plain-http-refused`, `address-refused`, `credentials-invalid`, `credential-helper`, `certificate-invalid`, `proxy-invalid`
 */
export function openRemote(
  reference: Pick<RemoteReference, 'registry' | 'repository'>,
  options: RemoteOptions = {},
): RemoteStore {
  const { registry, repository } = reference;
  const environment = options.environment ?? {};
  const patience = { ...PATIENCE, ...options.patience };
  const session = openSession({
    registry,
    network: openNetwork(registry, {
      environment,
      certificates: { folders: certificateFolders(environment), ...options.certificates },
      plainHttp: options.plainHttp ?? false,
      patience,
    }),
    credential: async () => options.credential ?? findCredential(registry, repository, environment),
    patience,
    persistence: { ...PERSISTENCE, ...options.persistence },
    signal: options.signal,
  });
  const name = `${registry}/${repository}`;
  const pulling = { scopes: [`repository:${repository}:pull`] };
  const pushing = { scopes: [`repository:${repository}:pull,push`] };
  const seen = new Map<string, Uint8Array>();
  /** Whether the registry has the referrers API; undefined until it was asked. */
  let api: boolean | undefined;

  const pathOf = (descriptor: Descriptor) =>
    `${repository}/${isManifestType(descriptor.mediaType) ? 'manifests' : 'blobs'}/${descriptor.digest}`;
  const remember = (digest: Digest, bytes: Uint8Array) => {
    seen.delete(digest);
    seen.set(digest, bytes);
    let total = 0;
    for (const one of seen.values()) total += one.length;
    for (const [oldest, one] of seen) {
      if (total <= REMEMBERED) break;
      seen.delete(oldest);
      total -= one.length;
    }
  };

  const open = (descriptor: Descriptor, { lent = false }: Lending = {}) =>
    replayable(() =>
      pull(session, pathOf(descriptor), descriptor, {
        ...pulling,
        lent,
        ...(isManifestType(descriptor.mediaType) ? { accept: ACCEPTED_MANIFESTS.join(', ') } : {}),
      }),
    );
  const read = (descriptor: Descriptor) =>
    replayable(() =>
      verified(open(descriptor), {
        name: `${descriptor.digest} in ${name}`,
        integrity: descriptor.digest,
        size: descriptor.size,
        fix: 'The registry, or something before it, gave other bytes than the digest names: nothing was taken. Push the image again.',
      }),
    );

  const send = (descriptor: Descriptor, bytes: AsyncIterable<Uint8Array>, mountFrom?: string) =>
    upload(session, descriptor, bytes, { repository, mountFrom, chunk: options.chunk ?? 0 });

  const putManifest = async (at: string, bytes: Uint8Array, mediaType: string): Promise<string | undefined> => {
    const answer = await session.call({
      method: 'PUT',
      to: `${repository}/manifests/${at}`,
      headers: { 'content-type': mediaType },
      body: { size: bytes.length, open: () => onceOf(bytes) },
      ...pushing,
      expect: [200, 201],
    });
    await answer.discard();
    const stored = answer.headers['docker-content-digest'];
    if (stored !== undefined && stored !== sha256(bytes)) throw otherDigest(name, String(stored), sha256(bytes));
    const subject = answer.headers['oci-subject'];
    return subject === undefined ? undefined : String(subject);
  };

  const lists = new Map<Digest, { readonly batch: Batch; readonly written: Promise<void> }>();
  /** What comes while a list is being written is written with it: one list has one writer here. */
  const refer = async (subject: Digest, referrer: Descriptor): Promise<void> => {
    const open = lists.get(subject);
    if (open && !open.batch.closed) {
      open.batch.referrers.push(referrer);
      return open.written;
    }
    const batch: Batch = { referrers: [referrer], closed: false };
    const written = addToTag(session, repository, subject, batch);
    lists.set(subject, { batch, written });
    return written;
  };

  const hasApi = async (subject: Digest): Promise<boolean> => {
    api ??= (await listByApi(session, repository, subject)) !== undefined;
    return api;
  };

  const describe = async (target: string): Promise<Descriptor> => {
    const call = {
      to: `${repository}/manifests/${target}`,
      headers: { accept: ACCEPTED_MANIFESTS.join(', ') },
      ...pulling,
    };
    const head = await session.call({ ...call, method: 'HEAD', expect: [200, 404, 405] });
    await head.discard();
    if (head.status === 404) throw absent(name, target);
    const digest = String(head.headers['docker-content-digest'] ?? '');
    const size = Number(head.headers['content-length'] ?? Number.NaN);
    const mediaType = bareType(head.headers['content-type'] ?? '');
    if (head.status === 200 && isDigest(digest) && size > 0 && isManifestType(mediaType)) {
      if (isDigest(target) && target !== digest) throw otherDigest(name, digest, target);
      return { mediaType, digest, size };
    }
    // Not every registry says all of it without the body.
    const answer = await session.call({ ...call, method: 'GET', expect: [200, 404] });
    if (answer.status === 404) throw absent(name, target);
    const bytes = await readBody(answer, MANIFEST_LIMIT);
    const type = bareType(answer.headers['content-type'] ?? '');
    const manifest = parseManifest(bytes, isManifestType(type) ? type : undefined, `${name}:${target}`);
    const found = { mediaType: manifest.mediaType, digest: sha256(bytes), size: bytes.length };
    if (isDigest(target) && target !== found.digest) throw otherDigest(name, found.digest, target);
    remember(found.digest, bytes);
    return found;
  };

  const store: RemoteStore = {
    name,
    registry,
    repository,
    whole: true,
    open,
    read,
    has: async (descriptor) => {
      const answer = await session.call({
        method: 'HEAD',
        to: pathOf(descriptor),
        headers: isManifestType(descriptor.mediaType) ? { accept: ACCEPTED_MANIFESTS.join(', ') } : {},
        ...pulling,
        expect: [200, 404],
      });
      await answer.discard();
      return answer.status === 200;
    },
    borrows: true,
    upload: send,
    write: async (descriptor, bytes) => {
      await send(descriptor, bytes);
    },
    writeManifest: async (bytes, mediaType) => {
      const descriptor: Descriptor = { mediaType, digest: sha256(bytes), size: bytes.length };
      const referral = referralOf(bytes, descriptor);
      const acknowledged = await putManifest(descriptor.digest, bytes, mediaType);
      remember(descriptor.digest, bytes);
      if (!referral) return descriptor;
      // Without the header the registry doesn't look at subjects; with it, some still have nowhere to ask for them.
      if (acknowledged !== referral.subject || !(await hasApi(referral.subject))) {
        await refer(referral.subject, referral.referrer);
      }
      return descriptor;
    },
    resolve: async (target) => {
      if (!isDigest(target) && !isRegistryTag(target)) throw tagInvalid(target);
      return describe(target);
    },
    tag: async (tag, descriptor) => {
      if (!isRegistryTag(tag) || subjectOfTag(tag)) throw tagInvalid(tag);
      const bytes = seen.get(descriptor.digest) ?? (await readDocument(store, descriptor));
      await putManifest(tag, bytes, descriptor.mediaType);
    },
    referrers: async (subject) => {
      try {
        const listed = await listByApi(session, repository, parseDigest(subject));
        api = listed !== undefined;
        // Both, where both exist: a registry that learned the API may not have taken over what clients wrote to the tag before.
        const tagged = await listByTag(session, repository, subject);
        // What clients wrote says more: some registries name the type of the config where the artifact's belongs.
        return inOrder([...tagged.referrers, ...(listed ?? [])]);
      } catch (cause) {
        if (isFault(cause, 'unauthorized')) throw cause;
        throw referrersUnavailable(name, subject, cause);
      }
    },
    ping: async () => {
      const answer = await session.call({ method: 'GET', to: '', scopes: [], expect: [200] });
      await answer.discard();
      if (answer.url.pathname !== '/v2/') throw protocolFault(registry, 'is no registry');
    },
  };
  return store;
}

function otherDigest(store: string, found: string, wanted: string): McpBuildError {
  return new McpBuildError({
    code: 'integrity',
    message: `${store} answers with ${found} where ${wanted} was meant`,
    input: wanted,
    fix: 'The registry, or something before it, is not to be relied upon: nothing was taken.',
  });
}

function absent(name: string, target: string): McpBuildError {
  return notFound(
    name,
    target,
    'Check the name, and that this tag or digest was pushed; some registries say so, too, to whoever has no credentials for them (`mcp-build login`).',
  );
}
