import { McpBuildError } from '../../errors/index.ts';
import { isPackageName, isVersion, oneLine } from './names.ts';

/** What is kept of one published version: what resolving reads, and nothing a registry fills with megabytes of text. */
export interface Manifest extends Readonly<Record<string, unknown>> {
  readonly name: string;
  readonly version: string;
}

/** A registry's document on one package, reduced to what is used and checked for what everything downstream relies on. */
export interface Packument {
  readonly name: string;
  readonly 'dist-tags': Readonly<Record<string, string>>;
  readonly versions: Readonly<Record<string, Manifest>>;
  /** When the registry received each version, in ISO 8601; a registry may leave it out. */
  readonly time: Readonly<Record<string, string>>;
}

type Fields = Record<string, unknown>;

const MAPS = ['dependencies', 'optionalDependencies', 'peerDependencies', 'engines'] as const;
/** Fields that npm's libraries use without looking at their type, and what each may be. */
const KEPT: Readonly<Record<string, (value: unknown) => boolean>> = {
  peerDependenciesMeta: (value) => isFields(value) && Object.values(value).every(isFields),
  bundleDependencies: (value) => typeof value === 'boolean' || isTexts(value),
  bundledDependencies: (value) => typeof value === 'boolean' || isTexts(value),
  acceptDependencies: isTextMap,
  bin: (value) => typeof value === 'string' || isTexts(value) || isTextMap(value),
  os: (value) => typeof value === 'string' || isTexts(value),
  cpu: (value) => typeof value === 'string' || isTexts(value),
  libc: (value) => typeof value === 'string' || isTexts(value),
  license: (value) => typeof value === 'string',
  hasInstallScript: (value) => value === true,
  gypfile: (value) => typeof value === 'boolean',
};
const SCRIPTS = ['preinstall', 'install', 'postinstall'] as const;

/**
 * Reduces what a registry sent. A version that names itself differently from its key, or holds what no package.json could, is left out
 * as if it weren't published. @throws McpBuildError `registry-invalid` where the document as a whole is not one on this package
 */
export function readPackument(value: unknown, name: string, url: string): Packument {
  if (!isFields(value) || !isFields(value.versions)) throw invalid(name, url, 'is not a package document');
  if (value.name !== name) throw invalid(name, url, `is about "${oneLine(String(value.name))}"`);
  const versions: Record<string, Manifest> = {};
  for (const [version, manifest] of Object.entries(value.versions)) {
    if (!isVersion(version) || !isFields(manifest)) continue;
    if (manifest.name !== name || manifest.version !== version) continue;
    versions[version] = reduce(manifest, name, version);
  }
  return { name, 'dist-tags': texts(value['dist-tags']), versions, time: texts(value.time) };
}

function reduce(manifest: Fields, name: string, version: string): Manifest {
  const kept: Fields & { name: string; version: string } = { name, version };
  for (const field of MAPS) {
    const map = texts(manifest[field]);
    if (Object.keys(map).length > 0) kept[field] = field === 'engines' ? map : namesOnly(map);
  }
  for (const [field, fits] of Object.entries(KEPT)) if (fits(manifest[field])) kept[field] = manifest[field];
  const scripts = texts(manifest.scripts);
  const installing = SCRIPTS.filter((script) => scripts[script] !== undefined);
  if (installing.length > 0) kept.scripts = Object.fromEntries(installing.map((script) => [script, scripts[script]]));
  if (typeof manifest.deprecated === 'string' && manifest.deprecated !== '') {
    kept.deprecated = oneLine(manifest.deprecated) || 'deprecated';
  }
  const people = peopleOf(manifest);
  if (people.maintainers.length > 0) kept.maintainers = people.maintainers;
  if (people.publisher !== undefined) kept.publisher = people.publisher;
  const dist = isFields(manifest.dist) ? manifest.dist : {};
  kept.dist = {
    ...Object.fromEntries(
      ['tarball', 'integrity', 'shasum'].flatMap((field) =>
        typeof dist[field] === 'string' ? [[field, dist[field]]] : [],
      ),
    ),
    ...proofsOf(dist),
  };
  return kept;
}

/** Of one version; a registry may send what it likes. */
const PEOPLE_LIMIT = 100;

/**
 * Who could publish when this version was, and who did, by their names at the registry. A version that a workflow published by its own identity has no
 * publisher: who that was its provenance says.
 */
function peopleOf({ maintainers, _npmUser: user }: Fields): { maintainers: string[]; publisher: string | undefined } {
  const names = (Array.isArray(maintainers) ? maintainers : []).slice(0, PEOPLE_LIMIT).flatMap((one) => {
    const name = personOf(one);
    return name === undefined ? [] : [name];
  });
  const byWorkflow = isFields(user) && isFields(user.trustedPublisher);
  return { maintainers: [...new Set(names)], publisher: byWorkflow ? undefined : personOf(user) };
}

/** `{name, email}`, or `name <email>` as old documents have it. */
function personOf(value: unknown): string | undefined {
  const text = isFields(value) ? value.name : value;
  if (typeof text !== 'string') return undefined;
  return oneLine(text.replace(/\s*<[^>]*>?\s*$/, '').slice(0, 214)).trim() || undefined;
}

/** What vetting verifies: signatures, and where attestations are. None of it counts before it is verified. */
function proofsOf(dist: Fields): Fields {
  const signatures = (Array.isArray(dist.signatures) ? dist.signatures : [])
    .filter(isFields)
    .filter(({ keyid, sig }) => typeof keyid === 'string' && typeof sig === 'string')
    .slice(0, 10)
    .map(({ keyid, sig }) => ({ keyid, sig }));
  const url = isFields(dist.attestations) ? dist.attestations.url : undefined;
  return {
    ...(signatures.length > 0 ? { signatures } : {}),
    ...(typeof url === 'string' ? { attestations: url } : {}),
  };
}

/** A dependency that no package can be called is one nothing could ever satisfy; the name would become a path. */
function namesOnly(map: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(map).filter(([name]) => isPackageName(name)));
}

function texts(value: unknown): Record<string, string> {
  if (!isFields(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string' && entry[0] !== '__proto__',
    ),
  );
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function isTextMap(value: unknown): boolean {
  return isFields(value) && Object.values(value).every((item) => typeof item === 'string');
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(name: string, url: string, what: string): McpBuildError {
  return new McpBuildError({
    code: 'registry-invalid',
    message: `The answer of ${url} on ${name} ${what}`,
    input: name,
    fix: "Check that npm's `registry` for this package is an npm registry.",
    exit: 5,
  });
}
