import type { ArboristEdge, ArboristNode } from '@npmcli/arborist';
import npa from 'npm-package-arg';
import ssri from 'ssri';
import { type Integrity, isIntegrity } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { LOCAL_INDEX } from '../local.ts';
import type { NpmArtifact } from '../lock.ts';
import type { Platform } from '../platform.ts';
import type { FlatOptions } from './configuration.ts';
import { byBytes, hostileName, isLocation, isPackageName, isVersion, oneLine, tarballName } from './names.ts';
import { platformFits } from './platform.ts';

/** What a platform takes of the tree: what npm would unpack there, and what it unpacks with a bundling parent. */
export function takenOf(root: ArboristNode): readonly ArboristNode[] {
  return [...root.inventory.values()].filter((node) => !node.isRoot && !node.inert && !node.extraneous);
}

/**
 * Refuses what comes from anywhere but a registry, optional dependencies included: npm would drop those without a word, and fetch
 * them on the next machine. @throws McpBuildError `exotic-dependency`
 */
export function refuseExotic(nodes: Iterable<ArboristNode>): void {
  for (const node of nodes) {
    if (node.isLink) throw exotic(node.name, 'a link', nameOf(node));
    for (const edge of node.edgesOut.values()) {
      if (edge.type === 'dev' || (edge.type === 'peerOptional' && !edge.to)) continue;
      if (!isRegistrySpec(edge)) throw exotic(edge.name, edge.spec, node.isRoot ? 'the source' : nameOf(node));
    }
  }
}

function isRegistrySpec(edge: ArboristEdge): boolean {
  try {
    const spec = npa.resolve(edge.name, edge.spec);
    return spec.type === 'alias' ? (spec as npa.AliasResult).subSpec.registry === true : spec.registry === true;
  } catch {
    // `workspace:`, `catalog:` and other protocols that only mean something where the package was written.
    return false;
  }
}

export function exotic(name: string, spec: string, by: string): McpBuildError {
  return new McpBuildError({
    code: 'exotic-dependency',
    message: `${oneLine(by)} brings ${oneLine(name)} from "${oneLine(spec)}", not from a registry`,
    input: oneLine(name),
    fix: 'Take a version whose dependencies are all published: only those have a hash and an age that can be checked.',
    exit: 4,
  });
}

/** @throws McpBuildError `platform-unsupported` when a package that isn't optional doesn't run there */
export function requirePlatform(nodes: Iterable<ArboristNode>, platform: Platform): void {
  for (const node of nodes) {
    if (node.optional || platformFits(node.package, platform)) continue;
    throw new McpBuildError({
      code: 'platform-unsupported',
      message: `${nameOf(node)} says that it doesn't run on ${platform}`,
      input: nameOf(node),
      fix: 'Lock for the other platforms only (--platform), or take another version.',
    });
  }
}

export interface ArtifactOptions {
  readonly flat: FlatOptions;
  /** Refuse a file that is younger, or whose upload time the registry doesn't say. */
  readonly before: Date | undefined;
  /** The package that is a file of the user's, `name@version`: nobody says how old it is, and nobody has to. */
  readonly local?: { readonly key: string; readonly file: string };
  /** Releases that may be younger. */
  readonly young?: readonly { readonly name: string; readonly version: string }[] | undefined;
  /** When the registry received a version, as far as it says. */
  uploaded(name: string, version: string): string | undefined;
}

/**
 * One artifact for each tarball, sorted by bytes. What came inside a bundling parent's tarball has none of its own.
 * @throws McpBuildError `name-unsafe`, `integrity-missing`, `integrity-conflict`, `too-new`, `age-unknown`
 */
export function artifactsOf(nodes: Iterable<ArboristNode>, options: ArtifactOptions): readonly NpmArtifact[] {
  const artifacts = new Map<string, NpmArtifact>();
  for (const node of nodes) {
    if (node.inBundle) continue;
    const name = node.packageName ?? node.name;
    const { version, location } = node;
    if (!isPackageName(name) || !isVersion(version) || !isLocation(location)) {
      throw hostileName(`${name}@${version}`, location);
    }
    const key = `${name}@${version}`;
    const integrity = strongest(node.integrity, key);
    const known = artifacts.get(key);
    if (known && known.integrity !== integrity) throw conflict(key);
    const local = key === options.local?.key ? options.local : undefined;
    const uploaded = local ? undefined : options.uploaded(name, version);
    const excepted = options.young?.some((one) => one.name === name && one.version === version) === true;
    if (options.before && !local && !excepted) requireAge(key, uploaded, options.before);
    artifacts.set(key, {
      kind: 'npm',
      name,
      version,
      file: local?.file ?? tarballName(name, version),
      integrity,
      ...(uploaded === undefined ? {} : { uploaded }),
      index: local ? LOCAL_INDEX : indexOf(name, options.flat),
      locations: [...(known?.locations ?? []), location].sort(byBytes),
      ...(node.hasInstallScript ? { installScripts: true } : {}),
    });
  }
  return [...artifacts.values()].sort((a, b) => byBytes(`${a.name}@${a.version}`, `${b.name}@${b.version}`));
}

/** @throws McpBuildError `integrity-missing`: SHA-1 doesn't count, two packages with the same one can be made */
export function strongest(text: string | null | undefined, key: string): Integrity {
  const parsed = text ? ssri.parse(text, { strict: true }) : null;
  const hashes = (parsed?.sha512 ?? parsed?.sha256 ?? []).map((hash) => `${hash.algorithm}-${hash.digest}`);
  const [first] = hashes;
  if (hashes.length === 1 && first !== undefined && isIntegrity(first)) return first;
  throw new McpBuildError({
    code: 'integrity-missing',
    message: `The registry gives ${hashes.length > 1 ? 'several hashes' : 'no SHA-512 or SHA-256'} for ${key}${parsed ? `, only ${Object.keys(parsed).join(', ')}` : ''}`,
    input: key,
    fix: 'Take a version that was published with an integrity, or have your registry compute one.',
    exit: 4,
  });
}

export function indexOf(name: string, flat: FlatOptions): string {
  const scope = name.startsWith('@') ? name.slice(0, name.indexOf('/')) : undefined;
  return scope !== undefined && flat[`${scope}:registry`] ? scope : 'default';
}

/** A registry's time in the one form locks have; undefined for what isn't one. */
export function instant(text: unknown): string | undefined {
  if (typeof text !== 'string') return undefined;
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? undefined : time.toISOString();
}

export function nameOf(node: ArboristNode): string {
  return `${node.packageName ?? node.name}@${node.version}`;
}

/** @throws McpBuildError `too-new`, `age-unknown` */
export function requireAge(key: string, uploaded: string | undefined, before: Date, now: Date = new Date()): void {
  if (uploaded === undefined) throw ageUnknown(key);
  if (new Date(uploaded) > before) throw tooNew(key, uploaded, before, now);
}

export function tooNew(key: string, uploaded: string, before: Date, now: Date): McpBuildError {
  const ready = new Date(new Date(uploaded).getTime() + Math.max(0, now.getTime() - before.getTime()));
  return new McpBuildError({
    code: 'too-new',
    message: `${key} was published ${uploaded}, after the cut-off ${before.toISOString()}`,
    input: key,
    fix: `Wait until ${ready.toISOString()}, ask for an older version, or lower the release age if you know this release.`,
    exit: 4,
  });
}

export function ageUnknown(key: string): McpBuildError {
  return new McpBuildError({
    code: 'age-unknown',
    message: `The registry doesn't say when it received ${key}`,
    input: key,
    fix: 'Use a registry that passes on upload times, or switch the release-age check off.',
    exit: 4,
  });
}

function conflict(key: string): McpBuildError {
  return new McpBuildError({
    code: 'integrity-conflict',
    message: `${key} stands for two different tarballs in one tree`,
    input: key,
    fix: 'Lock again; if it stays so, the registry is broken or hostile.',
    exit: 4,
  });
}
