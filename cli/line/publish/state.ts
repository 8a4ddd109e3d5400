import { isFault, McpBuildError } from '../../../errors/index.ts';
import { type Descriptor, parseManifest, type RemoteStore, readDocument, type Store } from '../../../registry/index.ts';
import { assess, failures, gather, type Policy, PREDICATES, predicateName } from '../../../trust/index.ts';
import { askedOf, isOf, type Job, lockedOffer, type PublishSettings, saysTheSame } from './job.ts';

/** Whether the registry already serves what would be published. */
export type State =
  | { readonly kind: 'current'; readonly image: Descriptor }
  /** In a few words, for a summary. */
  | { readonly kind: 'due'; readonly why: string };

const TYPE = 'dev.sigstore.bundle.predicateType';
const CREATED = 'org.opencontainers.image.created';
const BUNDLE = 'application/vnd.dev.sigstore.bundle';

/**
 * Looks at a published server with a dozen requests, whatever its size: where its tags point, what is said of it, and whether its signature and its
 * `server` statement are what a stranger's policy wants and the manifest says. Tags were moved only after all of it had been verified, so what the
 * rest of it holds was looked at then. @throws McpBuildError `tag-immutable`, and what the registry answers
 */
export async function stateOf(job: Job, remote: RemoteStore, settings: PublishSettings): Promise<State> {
  const { lock } = job.folder;
  const image = await tagged(remote, job.immutable);
  if (!image) return due('for the first time');
  if (lock.index !== undefined && image.digest !== lock.index) throw tagImmutable(job, image);
  for (const tag of job.moving) {
    const there = await tagged(remote, tag);
    if (there?.digest !== image.digest) return due(there ? `${tag} is another image` : `${tag} is not set`);
  }
  const view = memoized(remote);
  const said = await saidOf(view, image);
  for (const type of typesOf(settings))
    if (!said.some((one) => one.type === type)) return due(`has no ${predicateName(type)}`);
  const stale = staleType(said, settings);
  if (stale !== undefined) return due(`its ${predicateName(stale)} is too old`);
  const wanted = said.filter(({ type }) => type === PREDICATES.signature || type === PREDICATES.server);
  const evidence = await gather({ ...view, referrers: async () => wanted.map(({ descriptor }) => descriptor) }, image, {
    platforms: 'none',
    asked: askedOf(job),
  });
  const { verdict, server } = assess(signatureOnly(settings.policy), evidence, settings.now);
  if (!server) return due(failures(verdict)[0]?.detail ?? 'does not verify');
  if (!isOf(lock, server)) throw tagImmutable(job, image);
  const same = await saysTheSame(server, job, await lockedOffer(job), settings.environment);
  return same ? { kind: 'current', image } : due('what the manifest says of it has changed');
}

function due(why: string): State {
  return { kind: 'due', why };
}

/** What is said of every image that is published. */
function typesOf({ manifest }: PublishSettings): readonly string[] {
  const { signature, provenance, cyclonedx, server, spdx } = PREDICATES;
  return [signature, provenance, cyclonedx, server, ...(manifest.spdx ? [spdx] : [])];
}

interface SaidOf {
  readonly descriptor: Descriptor;
  readonly type: string | undefined;
  readonly created: string | undefined;
}

/** By what the list says of each statement; where the registry leaves annotations out of its lists, by the manifests. */
async function saidOf(store: Store, image: Descriptor): Promise<readonly SaidOf[]> {
  const listed = await store.referrers(image.digest);
  const bundles = listed.filter(({ artifactType }) => artifactType === undefined || artifactType.startsWith(BUNDLE));
  return Promise.all(
    bundles.map(async (descriptor) => {
      const annotations = descriptor.annotations ?? (await annotationsOf(store, descriptor));
      return { descriptor, type: annotations[TYPE], created: annotations[CREATED] };
    }),
  );
}

async function annotationsOf(store: Store, descriptor: Descriptor): Promise<Readonly<Record<string, string>>> {
  const manifest = parseManifest(await readDocument(store, descriptor), descriptor.mediaType, descriptor.digest);
  return manifest.annotations ?? {};
}

/** The statement that a policy wants younger. When it was made is the list's word here: at worst it is said once more than needed. */
function staleType(said: readonly SaidOf[], { policy, now }: PublishSettings): string | undefined {
  const limits = policy.rules.flatMap((rule) => rule.require).filter((one) => one.maxAge !== undefined);
  return limits.find(({ predicateType, maxAge = 0 }) => {
    const times = said.filter(({ type }) => type === predicateType).map(({ created }) => Date.parse(created ?? ''));
    return times.length > 0 && !times.some((time) => now.getTime() - time < maxAge);
  })?.predicateType;
}

/** The same rules, without the statements that weren't read. */
function signatureOnly(policy: Policy): Policy {
  return {
    ...policy,
    rules: policy.rules.map((rule) => {
      const { advisories: _advisories, ...allow } = rule.allow;
      const require = rule.require.filter((one) => one.predicateType === PREDICATES.server);
      return { ...rule, allow, require };
    }),
  };
}

/** Each document is asked for once. */
function memoized(remote: RemoteStore): Store {
  const known = new Map<string, Promise<Uint8Array>>();
  const bytesOf = (descriptor: Descriptor) => {
    const bytes = known.get(descriptor.digest) ?? readDocument(remote, descriptor);
    known.set(descriptor.digest, bytes);
    return bytes;
  };
  const { open: _open, ...rest } = remote;
  return {
    ...rest,
    async *read(descriptor) {
      yield await bytesOf(descriptor);
    },
  };
}

export async function tagged(store: Store, tag: string): Promise<Descriptor | undefined> {
  return store.resolve(tag).catch((error: unknown) => {
    if (isFault(error, 'not-found')) return undefined;
    throw error;
  });
}

export function tagImmutable({ image: name, immutable }: Job, there: Descriptor): McpBuildError {
  return new McpBuildError({
    code: 'tag-immutable',
    message: `${name}:${immutable} is ${there.digest} already, which is not what this lock gives`,
    input: immutable,
    fix: 'A version with its lock never becomes another image. Find out which of the two is right; `mcp-build reproduce` can tell.',
    exit: 4,
  });
}
