import { join } from 'node:path';
import { z } from 'zod';
import type { Artifact, FetchOptions, NpmArtifact, WheelArtifact } from '../../builders/index.ts';
import { type NpmListing, npmAttestations, npmKeys } from '../../builders/npm/index.ts';
import { type WheelListing, wheelProvenance } from '../../builders/pypi/index.ts';
import { integrityFromHex, parseIntegrity } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { readBounded, writeAtomic } from '../../files/index.ts';
import { PUBLIC_GOOD, parseTrustedRoot, publicGoodRoot, type TrustedRoot } from '../../trust/index.ts';
import {
  npmAttested,
  type Origin,
  type Package,
  type Provenance,
  registrySignature,
  sameRepository,
  wheelAttested,
} from '../../vetting/index.ts';
import type { Environment, Home } from './home.ts';
import { recalled } from './recall.ts';
import { followedRoots } from './roots.ts';

/** A trusted_root.json instead of the public Sigstore's: for an index whose packages a company attests itself. */
const ROOT_VARIABLE = 'MCP_BUILD_PROVENANCE_ROOT';
const PARALLEL = 12;

export interface ProvenanceOptions {
  readonly home: Home;
  readonly environment: Environment;
  readonly settings: FetchOptions;
  readonly progress?: (line: string) => void;
}

interface Listings {
  readonly npm: ReadonlyMap<NpmArtifact, NpmListing>;
  readonly pypi: ReadonlyMap<WheelArtifact, WheelListing>;
}

type Attestation = Provenance['attestation'];

/** Who built each package, by its verified attestations, and whether its registry signed it. What can't be reached is `unknown`, never absent. */
export async function provenanceOf(
  packages: readonly Package[],
  listings: Listings,
  options: ProvenanceOptions,
): Promise<ReadonlyMap<string, Provenance>> {
  const root = await rootOf(options.environment, options.home);
  const found = new Map<string, Provenance>();
  const keys = keyRing(options.settings);
  const queue = packages.filter(({ kind, base }) => !base && kind !== 'deb');
  const worker = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const one = await (next.kind === 'npm'
        ? ofNpm(next, listings.npm, keys, root, options)
        : ofWheels(next, listings.pypi, root, options));
      if (one) found.set(next.ref, one);
    }
  };
  options.progress?.('verifying provenance');
  await Promise.all(Array.from({ length: Math.min(PARALLEL, queue.length) }, worker));
  return found;
}

type Keys = (name: string) => Promise<unknown>;

/** Each registry is asked for its keys once. */
function keyRing(settings: FetchOptions): Keys {
  const asked = new Map<string, Promise<unknown>>();
  return (name) => {
    const scope = name.startsWith('@') ? name.slice(0, name.indexOf('/')) : '';
    const known = asked.get(scope) ?? npmKeys(name, settings).then(({ keys }) => keys);
    asked.set(scope, known);
    return known;
  };
}

async function ofNpm(
  { files, name, version }: Package,
  listings: Listings['npm'],
  keys: Keys,
  root: TrustedRoot,
  { home, settings }: ProvenanceOptions,
): Promise<Provenance | undefined> {
  const file = files.find((one): one is NpmArtifact => one.kind === 'npm');
  const said = file && listings.get(file);
  if (!file || said?.state !== 'listed') return undefined;
  const signature = await keys(name).then(
    (document) =>
      registrySignature(
        { name, version, integrity: file.integrity, uploaded: said.uploaded, signatures: said.signatures },
        document,
      ),
    (error: unknown) => ({ state: 'invalid' as const, reason: reasonOf(error) }),
  );
  const read = (url: string, about: { name: string; version: string; integrity: string }) =>
    remembered(home, about.integrity, root, () =>
      npmAttestations(url, name, settings).then((document) =>
        document === undefined ? absent : npmAttested(document, about, root),
      ),
    );
  const attestation =
    said.attestations === undefined
      ? absent
      : await read(said.attestations, { name, version, integrity: file.integrity });
  const before = said.attestedBefore;
  const then =
    before && file.origin === undefined
      ? await read(before.attestations, { name, version: before.version, integrity: before.integrity })
      : undefined;
  return {
    signature,
    attestation,
    ...(before ? { earlier: { version: before.version, origin: originOf(then) } } : {}),
  };
}

async function ofWheels(
  { files }: Package,
  listings: Listings['pypi'],
  root: TrustedRoot,
  { home, settings }: ProvenanceOptions,
): Promise<Provenance | undefined> {
  let attestation: Attestation | undefined;
  let earlier: Provenance['earlier'];
  const read = (url: string, file: string, integrity: string) =>
    remembered(home, integrity, root, () =>
      wheelProvenance(url, settings).then((document) =>
        document === undefined ? absent : wheelAttested(document, { file, integrity }, root),
      ),
    );
  for (const file of files) {
    if (file.kind !== 'wheel') continue;
    const said = listings.get(file);
    if (said?.state !== 'listed') return undefined;
    const one = said.provenance === undefined ? absent : await read(said.provenance, file.file, file.integrity);
    // The platform with the least counts: an attacker needs only one of them.
    attestation = attestation === undefined ? one : least(attestation, one);
    const before = said.attestedBefore;
    if (before && !earlier) {
      const then = file.origin
        ? undefined
        : await read(before.provenance, before.file, integrityFromHex('sha256', before.sha256));
      earlier = { version: before.file, origin: originOf(then) };
    }
  }
  // PyPI signs nothing itself but its attestations.
  return attestation && { signature: { state: 'unsupported' }, attestation, ...(earlier ? { earlier } : {}) };
}

const absent = { state: 'absent' } as const;

function least(a: Attestation, b: Attestation): Attestation {
  if (a.state === 'attested' && b.state === 'attested' && !sameRepository(a.origin.repository, b.origin.repository)) {
    return { state: 'invalid', reason: `its files are from ${a.origin.repository} and ${b.origin.repository}` };
  }
  return rank(b) < rank(a) ? b : a;
}

function rank({ state }: Attestation): number {
  return ['other-subject', 'invalid', 'absent', 'unknown', 'attested'].indexOf(state);
}

function originOf(attestation: Attestation | undefined): Origin | undefined {
  return attestation?.state === 'attested' ? attestation.origin : undefined;
}

const originSchema = z.strictObject({ issuer: z.string(), repository: z.string(), workflow: z.string().optional() });

/** What verified once for these bytes verifies again; anything else is asked for anew. */
async function remembered(
  home: Home,
  integrity: Artifact['integrity'] | string,
  root: TrustedRoot,
  ask: () => Promise<Attestation>,
): Promise<Attestation> {
  const { algorithm, hex } = parseIntegrity(integrity);
  const path = join(home.cache, 'vetting', 'origins', encodeURIComponent(root.name), `${algorithm}-${hex}.json`);
  const known = await recalled(path, originSchema, 64 * 1024);
  if (known) return { state: 'attested', origin: known };
  try {
    const found = await ask();
    if (found.state === 'attested') await writeAtomic(path, JSON.stringify(found.origin));
    return found;
  } catch (error) {
    return { state: 'unknown', reason: reasonOf(error) };
  }
}

async function rootOf(environment: Environment, home: Home): Promise<TrustedRoot> {
  const path = environment[ROOT_VARIABLE];
  if (!path) return (await followedRoots(home)(PUBLIC_GOOD)) ?? publicGoodRoot();
  return parseTrustedRoot((await readBounded(path, 4 * 1024 * 1024)).toString('utf8'), path);
}

function reasonOf(error: unknown): string {
  if (error instanceof McpBuildError) return error.message;
  throw error;
}
