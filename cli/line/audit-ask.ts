import { type FetchOptions, LOCAL_INDEX, type NpmArtifact, type WheelArtifact } from '../../builders/index.ts';
import { listNpm, type NpmListing } from '../../builders/npm/index.ts';
import { listWheels, type WheelListing } from '../../builders/pypi/index.ts';
import type { VettingRules } from '../../trust/index.ts';
import type { AuditInput, Listing, Package } from '../../vetting/index.ts';
import { provenanceOf } from './audit-provenance.ts';
import type { Environment, Home } from './home.ts';

export interface AskOptions {
  readonly home: Home;
  readonly environment: Environment;
  readonly workspace: string | undefined;
  readonly rules: VettingRules;
  readonly now: Date;
  readonly progress?: (line: string) => void;
}

/** What the user's indexes say today of every package of a tree. What can't be reached is recorded as that. */
export async function askIndexes(
  packages: readonly Package[],
  options: AskOptions,
): Promise<Pick<AuditInput, 'listings' | 'provenance'>> {
  const { own, npm, pypi, settings } = await ask(packages, options);
  const { home, environment, progress } = options;
  const provenance = await provenanceOf(
    own,
    { npm, pypi },
    { home, environment, settings, ...(progress ? { progress } : {}) },
  );
  return { listings: listingsOf(own, npm, pypi), provenance };
}

/** What they say of packages that others have taken the place of; their provenance is no matter any more. */
export async function askAboutEarlier(
  packages: readonly Package[],
  options: Omit<AskOptions, 'progress'>,
): Promise<ReadonlyMap<string, Listing>> {
  const { own, npm, pypi } = await ask(packages, options);
  return listingsOf(own, npm, pypi);
}

async function ask(packages: readonly Package[], options: AskOptions) {
  const settings: FetchOptions = {
    cache: options.home.cache,
    environment: options.environment,
    workspace: options.workspace,
  };
  // What was locked from a file no index has: another package may have its name there.
  const own = packages.filter(({ base, files }) => !base && files.every(({ index }) => index !== LOCAL_INDEX));
  const tarballs = own.flatMap(({ files }) => files.filter((file): file is NpmArtifact => file.kind === 'npm'));
  const wheels = own.flatMap(({ files }) => files.filter((file): file is WheelArtifact => file.kind === 'wheel'));
  options.progress?.(`asking the indexes about ${own.length} packages`);
  const npm = tarballs.length > 0 ? await listNpm(tarballs, settings) : new Map<NpmArtifact, NpmListing>();
  const pypi = wheels.length > 0 ? await listWheels(wheels, settings) : new Map<WheelArtifact, WheelListing>();
  return { own, npm, pypi, settings };
}

type Npm = ReadonlyMap<NpmArtifact, NpmListing>;
type Pypi = ReadonlyMap<WheelArtifact, WheelListing>;

function listingsOf(own: readonly Package[], npm: Npm, pypi: Pypi): ReadonlyMap<string, Listing> {
  return new Map(own.flatMap((one) => (one.kind === 'deb' ? [] : [[one.ref, listingOf(one, npm, pypi)] as const])));
}

function listingOf({ files }: Package, npm: Npm, pypi: Pypi): Listing {
  const hashes = new Map<string, readonly string[]>();
  let uploaded: string | undefined;
  let deprecated: string | undefined;
  let yanked: string | undefined;
  let people: Pick<Extract<Listing, { state: 'listed' }>, 'maintainers' | 'publisher'> = {};
  for (const file of files) {
    const said = file.kind === 'npm' ? npm.get(file) : file.kind === 'wheel' ? pypi.get(file) : undefined;
    if (!said || said.state === 'gone') continue;
    if (said.state === 'unreachable') return { state: 'unreachable', reason: said.error.message };
    hashes.set(file.file, said.hashes);
    if (said.uploaded !== undefined && (uploaded === undefined || said.uploaded > uploaded)) uploaded = said.uploaded;
    if ('deprecated' in said) deprecated ??= said.deprecated;
    if ('maintainers' in said) people = { maintainers: said.maintainers, publisher: said.publisher };
    if ('yanked' in said) yanked ??= said.yanked;
  }
  return hashes.size === 0 ? { state: 'gone' } : { state: 'listed', hashes, uploaded, deprecated, yanked, ...people };
}
