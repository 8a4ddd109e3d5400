import { architectureOf, type Platform } from '../../../builders/index.ts';
import { isFault } from '../../../errors/index.ts';
import { readImage } from '../../../runner/index.ts';
import type { Policy } from '../../../trust/index.ts';
import { requireLock } from '../entry.ts';
import type { Environment } from '../home.ts';
import { remoteStore } from '../image.ts';
import { type Manifest, repositoryOf, type ServerEntry, selectServers } from '../manifest/index.ts';
import { isOf } from '../publish/job.ts';
import { requirePass, verifyImage } from '../verify.ts';
import { flagInvalid, nameUnfit, notHttp, notPublished, unsaid } from './faults.ts';
import { manifestsOf, objectName, serviceUrl } from './objects.ts';
import type { Cluster, Deployable, Manifests } from './types.ts';

export interface DeployOptions {
  readonly manifest: Manifest;
  readonly names: readonly string[];
  readonly environment: Environment;
  readonly workspace: string;
  /** Instead of the manifest's. */
  readonly registry?: string;
  readonly plainHttp?: boolean;
  readonly certificates?: string;
  /** Whose word counts on what a server may do. */
  readonly policy: Policy;
  readonly now: Date;
  readonly prefix: string;
  readonly cluster: Cluster;
  /** By server, then by path. */
  readonly claims: ReadonlyMap<string, ReadonlyMap<string, string>>;
  readonly progress: (line: string) => void;
}

export interface Deployed extends Manifests {
  readonly server: string;
  readonly name: string;
  readonly image: string;
  /** For the gateway's configuration. */
  readonly url: string;
}

/**
 * What published servers are in a cluster. Each is taken from its registry by the digest of its lock, must verify, and is given what its signed
 * statement says, whatever the manifest says by now. All or none: whoever applies half of it has two states.
 * @throws McpBuildError `server-unknown`, `name-unfit`, `transport-not-http`, `not-published`, what a verdict says, and what `manifestsOf` throws
 */
export async function deployServers(options: DeployOptions): Promise<readonly Deployed[]> {
  const entries = selectServers(options.manifest, options.names);
  const names = new Map<string, string>();
  const deployed: Deployed[] = [];
  for (const server of options.claims.keys())
    if (!entries.some(({ name }) => name === server))
      throw flagInvalid('claim', server, 'Name a server that is deployed: --claim SERVER:/path=CLAIM.');
  for (const entry of entries) {
    const name = objectName(entry.name, options.prefix);
    const other = names.get(name);
    if (other !== undefined) throw nameUnfit(entry.name, `${other} is called ${name} in a cluster, too`);
    names.set(name, entry.name);
    options.progress(entry.name);
    const server = await deployable(entry, name, options);
    const manifests = manifestsOf(server, options.cluster);
    deployed.push({
      ...manifests,
      ...{ server: entry.name, name, image: server.image, url: serviceUrl(server, options.cluster) },
    });
  }
  return deployed;
}

async function deployable(entry: ServerEntry, name: string, options: DeployOptions): Promise<Deployable> {
  const { manifest, environment, workspace, registry, plainHttp, certificates, policy, now } = options;
  const reference = repositoryOf(manifest, entry.name, environment, registry);
  const place = `${reference.registry}/${reference.repository}`;
  const { lock } = await requireLock(entry, workspace);
  if (lock.transport !== 'http') throw notHttp(entry.name);
  if (lock.index === undefined) throw notPublished(entry.name, place);
  const store = remoteStore(reference, {
    environment,
    ...(plainHttp ? { plainHttp } : {}),
    ...(certificates === undefined ? {} : { certificates }),
  });
  const image = await store.resolve(lock.index).catch((error: unknown) => {
    throw isFault(error, 'not-found') ? notPublished(entry.name, place) : error;
  });
  const { verdict, server: signed } = await verifyImage(store, image, {
    policy,
    now,
    layers: false,
    platforms: 'all',
    asked: {
      image: place,
      source: { ecosystem: lock.source.ecosystem, name: lock.source.name },
      version: lock.source.version,
    },
  });
  const whole = `${place}@${image.digest}`;
  requirePass(verdict, whole);
  if (!signed || !isOf(lock, signed)) throw unsaid(entry.name, policy.name);
  const architectures = (Object.keys(lock.platforms) as Platform[]).map(architectureOf);
  const built = await readImage(store, image, architectures[0]);
  if (!built.bridged) throw notHttp(entry.name);
  return {
    ...{ name, server: entry.name, image: whole, signed, built, architectures },
    stateless: entry.stateless === true,
    claims: options.claims.get(entry.name) ?? new Map(),
  };
}
