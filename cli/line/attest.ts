import { join } from 'node:path';
import { artifactCache, LOCAL_INDEX, type Lock, lockDigest, type Platform, withLimits } from '../../builders/index.ts';
import { type Digest, sha256 } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import type { Descriptor, LayoutStore } from '../../registry/index.ts';
import { canonicalJson, type Offer, type Permissions } from '../../runner/index.ts';
import {
  type Attached,
  attest,
  cyclonedx,
  LOCAL_BUILDER,
  PREDICATES,
  provenancePredicate,
  type ServerPredicate,
  type Signer,
  spdx,
} from '../../trust/index.ts';
import { fetchArtifact } from './adapters.ts';
import type { LockFolder } from './folder.ts';
import type { Environment, Home } from './home.ts';
import { materialsOf } from './materials.ts';

/** What the signer of a server declares of it. */
export interface Declared {
  readonly permissions: Permissions;
  /** What it was seen to offer; absent when it was never tested. */
  readonly offer: Offer | undefined;
  /** What it is started with when the user gives no arguments. */
  readonly args?: readonly string[];
  /** Its variables; those of the permissions, each of them a secret, by default. */
  readonly environment?: ServerPredicate['environment'];
  /** When this took the place of another statement about the same image. */
  readonly issued?: Date;
}

export interface StatementOptions extends Declared {
  readonly home: Home;
  /** The user's variables: where files are taken from, and what a CI says of the job. */
  readonly variables: Environment;
  readonly workspace: string | undefined;
  readonly store: Pick<LayoutStore, 'resolve'>;
  readonly spdx: boolean;
  readonly now: Date;
}

export interface AttestOptions extends StatementOptions {
  readonly store: LayoutStore;
  readonly signer: Signer;
  /** Say also what the same key has said already. */
  readonly again: boolean;
}

/** Something to be said of an image. */
export interface Said {
  readonly subject: Descriptor;
  readonly predicate: 'provenance' | 'cyclonedx' | 'spdx' | 'server';
  readonly value: unknown;
}

export interface Attestations {
  readonly subject: Digest;
  readonly attached: readonly (Attached & { readonly predicate: string })[];
}

/**
 * Says of an image, and of each of its platforms, what it was built from (SLSA provenance), what is in it (SBOM), and which server it is and
 * what it may do (`server`).
 * @throws McpBuildError `not-built`, and what the signer and the store throw
 */
export async function attestImage(folder: LockFolder, options: AttestOptions): Promise<Attestations> {
  const attached: (Attached & { predicate: string })[] = [];
  const said = await statementsOf(folder, options);
  for (const { subject, predicate, value } of said) {
    const one = await attest(
      options.store,
      subject,
      PREDICATES[predicate],
      value,
      options.signer,
      options.now,
      options.again,
    );
    attached.push({ ...one, predicate });
  }
  return { subject: said.at(-1)!.subject.digest, attached };
}

/** All there is to say of a lock's image, the index last: who sees it attested can rely on every platform's statements being there. @throws McpBuildError `not-built` */
export function statementsOf(folder: LockFolder, options: StatementOptions): Promise<readonly Said[]> {
  return withLimits(folder.lock.limits, () => statementsWithin(folder, options));
}

async function statementsWithin(folder: LockFolder, options: StatementOptions): Promise<readonly Said[]> {
  const { lock } = folder;
  const { store } = options;
  if (!lock.index) throw notBuilt(lock);
  const cache = artifactCache(join(options.home.cache, 'artifacts'), (artifact) =>
    fetchArtifact(artifact, {
      cache: options.home.cache,
      environment: options.variables,
      workspace: options.workspace,
    }),
  );
  const index = await store.resolve(lock.index);
  const all = Object.keys(lock.platforms) as Platform[];
  const subjects: { descriptor: Descriptor; platforms: readonly Platform[] }[] = [];
  for (const platform of all) {
    const digest = lock.platforms[platform]?.image;
    if (digest) subjects.push({ descriptor: await store.resolve(digest), platforms: [platform] });
  }
  subjects.push({ descriptor: index, platforms: all });
  const said: Said[] = [];
  const materialsFor = materialsOf(folder, cache.open);
  for (const { descriptor: subject, platforms } of subjects) {
    const materials = await materialsFor(platforms);
    const provenance = provenancePredicate({ ...buildOf(lock, options), materials, platforms });
    said.push({ subject, predicate: 'provenance', value: provenance });
    said.push({ subject, predicate: 'cyclonedx', value: cyclonedx(materials, subject.digest) });
    if (options.spdx) said.push({ subject, predicate: 'spdx', value: spdx(materials, subject.digest) });
    said.push({ subject, predicate: 'server', value: serverPredicate(lock, options) });
  }
  return said;
}

function buildOf(lock: Lock, { variables: environment, now }: StatementOptions) {
  const layers = Object.values(lock.platforms).flatMap((platform) => platform.layers);
  const invocation = invocationOf(environment);
  return {
    before: lock.before,
    base: lock.base.kind === 'recipe' ? lock.base.recipe : lock.base.digest,
    compressor: lock.compressor ?? 'unknown',
    transforms: Object.fromEntries(layers.map(({ name, transform }) => [name, transform])),
    builderId: builderOf(environment),
    ...(invocation === undefined ? {} : { invocationId: invocation }),
    started: now,
    finished: now,
  };
}

/** A CI says which workflow runs; the signature's certificate is what proves it. */
function builderOf(environment: Environment): string {
  const { GITHUB_ACTIONS, GITHUB_SERVER_URL, GITHUB_WORKFLOW_REF, GITLAB_CI, CI_PROJECT_URL } = environment;
  if (GITHUB_ACTIONS === 'true' && GITHUB_SERVER_URL && GITHUB_WORKFLOW_REF)
    return `${GITHUB_SERVER_URL}/${GITHUB_WORKFLOW_REF}`;
  if (GITLAB_CI === 'true' && CI_PROJECT_URL) return `${CI_PROJECT_URL}//.gitlab-ci.yml`;
  return LOCAL_BUILDER;
}

function invocationOf(environment: Environment): string | undefined {
  const { GITHUB_ACTIONS, GITHUB_SERVER_URL, GITHUB_REPOSITORY, GITHUB_RUN_ID, GITHUB_RUN_ATTEMPT, CI_JOB_URL } =
    environment;
  if (GITHUB_ACTIONS === 'true' && GITHUB_RUN_ID)
    return `${GITHUB_SERVER_URL}/${GITHUB_REPOSITORY}/actions/runs/${GITHUB_RUN_ID}/attempts/${GITHUB_RUN_ATTEMPT ?? '1'}`;
  return CI_JOB_URL;
}

/**
 * When an index received the newest file of a server. What no index has, the signer took from a folder of their own: there is no release that could be
 * young, and with nothing else it is older than any limit.
 */
function newestUpload({ platforms }: Lock): string | undefined {
  const uploads = Object.values(platforms)
    .flatMap(({ layers }) =>
      layers.filter(({ name }) => name === 'server' || name === 'dependencies').flatMap(({ files }) => files),
    )
    .filter(({ index }) => index !== LOCAL_INDEX)
    .map(({ uploaded }) => uploaded);
  if (uploads.length === 0) return new Date(0).toISOString();
  return uploads.every((uploaded) => uploaded !== undefined) ? [...uploads].sort().at(-1) : undefined;
}

export function serverPredicate(
  lock: Lock,
  { permissions, offer, args, environment, issued }: Declared,
): ServerPredicate {
  const known = newestUpload(lock);
  const list = (items: Offer['tools']) => ({
    digest: sha256(canonicalJson(items.map(({ name, digest }) => ({ name, digest })))),
    items: items.map(({ name, digest }) => ({ name, digest })),
  });
  return {
    source: { ecosystem: lock.source.ecosystem, name: lock.source.name, version: lock.source.version },
    ...(lock.serverName === undefined ? {} : { name: lock.serverName }),
    created: lock.created,
    ...(known === undefined ? {} : { newest: known }),
    lock: lockDigest(lock),
    permissions: { network: permissions.network, volumes: permissions.volumes, environment: permissions.environment },
    args: args ?? lock.launch?.defaults ?? [],
    environment: environment ?? environmentOf(lock, permissions),
    ...(offer
      ? {
          tools: list(offer.tools),
          prompts: list(offer.prompts),
          resources: list(offer.resources),
          resourceTemplates: list(offer.resourceTemplates),
          ...(offer.instructions === null ? {} : { instructions: sha256(offer.instructions) }),
        }
      : {}),
    ...(issued === undefined ? {} : { issued: issued.toISOString() }),
  };
}

/** What its `server.json` says it reads, then what its signer allows beyond that. */
function environmentOf({ launch }: Lock, permissions: Permissions): ServerPredicate['environment'] {
  const said = (launch?.environment ?? []).map(({ value, ...one }) => ({
    ...one,
    ...(value === undefined ? {} : { default: value }),
  }));
  const known = new Set(said.map(({ name }) => name));
  return [
    ...said.map(({ description, ...one }) => ({
      ...one,
      ...(description === undefined ? {} : { description: description.slice(0, 4096) }),
    })),
    ...permissions.environment
      .filter((name) => !known.has(name))
      .map((name) => ({ name, required: true, secret: true })),
  ];
}

function notBuilt(lock: Lock): McpBuildError {
  return new McpBuildError({
    code: 'not-built',
    message: `${lock.name} is locked, but was not built for all its platforms`,
    input: lock.name,
    fix: `Build it first: mcp-build build ${lock.name}.`,
    exit: 2,
  });
}
