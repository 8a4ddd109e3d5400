import { join } from 'node:path';
import type { Platform } from '../../../builders/index.ts';
import { hostPlatform } from '../../../builders/index.ts';
import { sha256 } from '../../../digest/index.ts';
import { isFault, McpBuildError } from '../../../errors/index.ts';
import { makeFolders, withTemporaryFolder } from '../../../files/index.ts';
import {
  copy,
  type Descriptor,
  type LayoutStore,
  openLayout,
  type RemoteStore,
  treeOf,
} from '../../../registry/index.ts';
import { NO_PERMISSIONS, type Offer, parsePermissions } from '../../../runner/index.ts';
import { PREDICATES } from '../../../trust/index.ts';
import type { Finding } from '../../../vetting/index.ts';
import { statementsOf } from '../attest.ts';
import { buildLock, descriptor } from '../build.ts';
import { type LockFolder, writeOutputs } from '../folder.ts';
import { remoteStore } from '../image.ts';
import { testValuesOf } from '../manifest/index.ts';
import { formatOffer, offerChanges, offerOf } from '../smoke.ts';
import { requireAccepted, verifyAsStranger, wouldBeRefused } from './gate.ts';
import { askedOf, declaredOf, type Job, lockedOffer, type PublishSettings } from './job.ts';
import type { Mounts } from './mounts.ts';
import { bringSaid, openStage, sayMissing, type Wanted } from './stage.ts';
import { type State, stateOf, tagged, tagImmutable } from './state.ts';
import { vet } from './vet.ts';

export type Step = 'check' | 'build' | 'test' | 'vet' | 'sign' | 'push' | 'attach' | 'verify' | 'tag';

/** What became of one server. */
export interface Published {
  readonly status: 'published' | 'unchanged' | 'would-publish';
  /** Why there was something to do. */
  readonly why?: string;
  readonly digest: Descriptor['digest'];
  readonly tags: readonly string[];
  /** How the image was tried; why not, where it wasn't. */
  readonly test: 'passed' | { readonly skipped: string } | undefined;
  readonly findings: readonly Finding[];
  /** Of layers that went over the wire, in bytes. */
  readonly sent: number;
}

export interface Work {
  readonly settings: PublishSettings;
  readonly mounts: Mounts;
  readonly say: (line: string) => void;
  /** @param detail what is being done within the step */
  readonly step: (step: Step, detail?: string) => void;
}

/**
 * Publishes one server: nothing is tagged before the registry serves an image that a stranger's policy accepts, and nothing is pushed that it
 * can be known to refuse. Every step can be repeated, and finds what an interrupted one has left.
 * @throws McpBuildError what the steps throw
 */
export async function publishServer(job: Job, work: Work): Promise<Published> {
  const { settings, step, mounts } = work;
  const remote = remoteOf(job, settings);
  step('check');
  const state = await seenState(job, remote, settings);
  const tags = [job.immutable, ...job.moving];
  if (state.kind === 'current') {
    mounts.has(job);
    if (settings.recheck) {
      step('verify');
      await verifyAsStranger(job, state.image.digest, settings);
    }
    return { status: 'unchanged', digest: state.image.digest, tags, test: undefined, findings: [], sent: 0 };
  }
  const { folder, image, local } = await built(job, work);
  const test = await tested({ ...job, folder }, local, image, work);
  step('vet');
  const findings = await vet({ ...job, folder }, test.offer, settings, (line) => step('vet', line));
  const outcome = { why: state.why, digest: image.digest, tags, test: test.outcome, findings };
  if (settings.dryRun) return { ...outcome, status: 'would-publish', sent: 0 };
  const sent = await deliver({ job: { ...job, folder }, image, local, remote, offer: test.offer }, work);
  return { ...outcome, status: 'published', sent };
}

/**
 * A dry run needs nothing that signs or pushes, and so no credentials: where the registry lets nobody look without, the server is tried as if it
 * weren't there. Registries also refuse to tell strangers what isn't there yet.
 */
async function seenState(job: Job, remote: RemoteStore, settings: PublishSettings): Promise<State> {
  try {
    return await stateOf(job, remote, settings);
  } catch (error) {
    if (settings.dryRun && isFault(error, 'unauthorized'))
      return { kind: 'due', why: 'what is published can’t be seen without credentials' };
    throw error;
  }
}

function remoteOf({ reference }: Job, settings: PublishSettings): RemoteStore {
  const { environment, plainHttp, certificates } = settings;
  return remoteStore(reference, {
    environment,
    ...(plainHttp ? { plainHttp } : {}),
    ...(certificates === undefined ? {} : { certificates }),
  });
}

interface Image {
  readonly folder: LockFolder;
  readonly image: Descriptor;
  readonly local: LayoutStore;
}

/** From the lock, which must give what it says where it says so. */
async function built({ entry, folder, path }: Job, { settings, step }: Work): Promise<Image> {
  step('build');
  const { home, environment, workspace } = settings;
  const local = await openLayout(home.store);
  const { lock, index } = await buildLock(folder.lock, {
    platforms: Object.keys(folder.lock.platforms) as Platform[],
    home,
    environment,
    workspace,
    store: local,
    files: [...(entry.file === undefined ? [] : [entry.file]), path],
    locked: true,
    progress: (line) => step('build', line),
  });
  await writeOutputs(path, lock);
  return { folder: { ...folder, lock }, image: descriptor(index), local };
}

interface Tested {
  readonly outcome: NonNullable<Published['test']>;
  readonly offer: Offer | undefined;
}

/** Starts the exact image that will be pushed. Where it isn't started, what was recorded when the lock was tested stands. @throws McpBuildError `tools-drift` */
async function tested(job: Job, store: LayoutStore, image: Descriptor, { settings, step, say }: Work): Promise<Tested> {
  const { entry, folder } = job;
  const recorded = await lockedOffer(job);
  const skipped = entry.test.kind === 'skip' ? entry.test.reason : (settings.untested ?? otherPlatform(folder));
  if (skipped !== undefined) return { outcome: { skipped }, offer: recorded };
  step('test');
  const { home, environment } = settings;
  const { args, env } = testValuesOf(entry, environment);
  const offer = await offerOf(
    { store, image, server: { name: entry.name, version: folder.lock.source.version } },
    {
      ...{ home, environment, values: env, args, say },
      permissions: parsePermissions({ ...NO_PERMISSIONS, environment: Object.keys(env) }),
      progress: (line) => step('test', line),
    },
  );
  const { tools } = folder.lock;
  if (tools !== undefined && tools !== sha256(formatOffer(offer))) throw toolsDrift(job, recorded, offer);
  return { outcome: 'passed', offer };
}

function otherPlatform({ lock }: LockFolder): string | undefined {
  const host = hostPlatform();
  return lock.platforms[host] ? undefined : `it is not built for this machine (${host})`;
}

interface Delivery {
  readonly job: Job;
  readonly image: Descriptor;
  readonly local: LayoutStore;
  readonly remote: RemoteStore;
  readonly offer: Offer | undefined;
}

async function deliver({ job, image, local, remote, offer }: Delivery, work: Work): Promise<number> {
  const { settings, step, mounts } = work;
  const { home, environment, workspace, policy, manifest, now } = settings;
  const parent = join(home.root, 'publish');
  await makeFolders(parent);
  return withTemporaryFolder(parent, async (folder) => {
    step('sign');
    const stage = await openStage(folder, local, image);
    const subjects = (await treeOf(stage, image)).nodes.map((node) => node.descriptor);
    if (await remote.has(image)) await bringSaid(remote, stage, subjects);
    const declared = declaredOf(job.entry, offer, environment);
    const options = { ...declared, home, variables: environment, workspace, store: local, spdx: manifest.spdx, now };
    const said = await statementsOf(job.folder, options);
    const wanted: Wanted[] = subjects.flatMap((subject) => [
      ...said
        .filter((one) => one.subject.digest === subject.digest)
        .map(({ predicate, value }) => ({ subject, predicateType: PREDICATES[predicate], value })),
      { subject, predicateType: PREDICATES.signature, value: {} },
    ]);
    const satisfied = !(await wouldBeRefused(stage, image, askedOf(job), settings));
    await sayMissing(stage, wanted, { signer: await settings.signer(), policy, now, satisfied });
    await requireAccepted(stage, image, job, settings);
    step('push');
    const sent = await pushed({ job, image, local, remote, stage }, work);
    step('verify');
    await verifyAsStranger(job, image.digest, settings, mounts.read(job));
    step('tag');
    const there = await tagged(remote, job.immutable);
    if (there && there.digest !== image.digest) throw tagImmutable(job, there);
    for (const tag of [job.immutable, ...job.moving]) await remote.tag(tag, image);
    return sent;
  });
}

/** The image by its digest, then what is said of it: whoever finds it by a tag finds it signed. @returns bytes */
async function pushed(
  { job, image, local, remote, stage }: Omit<Delivery, 'offer'> & { readonly stage: LayoutStore },
  { mounts, step }: Work,
): Promise<number> {
  let bytes = 0;
  await mounts.after(job, async (mountFrom) => {
    const copied = await copy(local, remote, image, {
      referrers: false,
      ...(mountFrom === undefined ? {} : { mountFrom }),
      progress: (event) => {
        if (event.kind === 'bytes') bytes += event.bytes;
        step('push', `${(bytes / 1e6).toFixed(1)} MB`);
      },
    });
    bytes = copied.bytes;
  });
  step('attach');
  await copy(stage, remote, image);
  return bytes;
}

function toolsDrift({ entry }: Job, before: Offer | undefined, after: Offer): McpBuildError {
  const changes = before ? offerChanges(before, after) : [];
  return new McpBuildError({
    code: 'tools-drift',
    message: `${entry.name} offers something else than when it was locked${changes.length > 0 ? `: ${changes.slice(0, 10).join(', ')}` : ''}`,
    input: entry.name,
    fix: `Look at what it offers now, and record it: mcp-build test ${entry.name}.`,
    exit: 4,
  });
}
