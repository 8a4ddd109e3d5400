import { z } from 'zod';
import { type Integrity, integrityFromHex } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import type { Stanza } from './control.ts';
import { parseRelations } from './relation.ts';
import { compareVersions } from './version.ts';

/** One binary package as a suite's index lists it. Relations are kept as text: few of many thousands are ever read. */
export interface Package {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  readonly preDepends: string;
  readonly depends: string;
  readonly provides: string;
  readonly conflicts: string;
  readonly breaks: string;
  /** Path in the pool. */
  readonly file: string;
  /** In bytes. */
  readonly size: number;
  readonly integrity: Integrity;
  readonly suite: string;
}

/** The fields of an index that are read. */
export const FIELDS: ReadonlySet<string> = new Set(
  'package version architecture pre-depends depends provides conflicts breaks filename size sha256'.split(' '),
);

/** Every segment begins with a letter or digit: none is `..`, none an option, and the path stays in the pool. */
const POOL_PATH = /^pool(?:\/[A-Za-z0-9][A-Za-z0-9.+_~-]*)+\.deb$/;

export function isPoolPath(text: string): boolean {
  return text.length <= 1024 && POOL_PATH.test(text);
}

const schema = z.object({
  package: z.string().regex(/^[a-z0-9][a-z0-9+.-]{1,127}$/),
  version: z.string().regex(/^[A-Za-z0-9.+~:-]{1,256}$/),
  architecture: z.string().regex(/^[a-z0-9-]{1,32}$/),
  filename: z.string().refine(isPoolPath),
  size: z.string().regex(/^[0-9]{1,12}$/),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

/** @throws McpBuildError `index-invalid` */
export function packageOf(stanza: Stanza, suite: string): Package {
  const result = schema.safeParse(Object.fromEntries(stanza));
  if (!result.success) {
    const name = stanza.get('package') ?? 'without a name';
    throw new McpBuildError({
      code: 'index-invalid',
      message: `The index of ${suite} has a package (${name.slice(0, 128)}) whose ${result.error.issues[0]?.path.join('.')} can't be right`,
      input: suite,
      fix: 'Check that the mirror is one of Debian.',
    });
  }
  const { data } = result;
  return {
    name: owned(data.package),
    version: owned(data.version),
    architecture: owned(data.architecture),
    preDepends: owned(stanza.get('pre-depends')),
    depends: owned(stanza.get('depends')),
    provides: owned(stanza.get('provides')),
    conflicts: owned(stanza.get('conflicts')),
    breaks: owned(stanza.get('breaks')),
    file: owned(data.filename),
    size: Number(data.size),
    integrity: integrityFromHex('sha256', data.sha256),
    suite,
  };
}

/** V8 makes a part of a string a view that keeps the whole alive: without a copy, 70,000 packages hold on to all 57 MB of their index. */
function owned(text: string | undefined): string {
  return text ? Buffer.from(text, 'utf8').toString('utf8') : '';
}

/** The newest of each package over all suites, as apt would choose among suites of equal priority. */
export interface PackageIndex {
  readonly packages: ReadonlyMap<string, Package>;
  /** Who provides a virtual package, in byte order of names. */
  readonly providers: ReadonlyMap<string, readonly Package[]>;
}

/** @param packages of equal versions the first wins: give the security suite first */
export function packageIndex(packages: Iterable<Package>): PackageIndex {
  const newest = new Map<string, Package>();
  for (const candidate of packages) {
    const known = newest.get(candidate.name);
    if (!known || compareVersions(candidate.version, known.version) > 0) newest.set(candidate.name, candidate);
  }
  const providers = new Map<string, Package[]>();
  for (const candidate of [...newest.values()].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (candidate.provides === '') continue;
    for (const { name } of parseRelations(candidate.provides, candidate.name).flat()) {
      const known = providers.get(name);
      if (known) known.push(candidate);
      else providers.set(name, [candidate]);
    }
  }
  return { packages: newest, providers };
}
