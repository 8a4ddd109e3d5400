import { normalizeProject } from '../../builders/index.ts';
import type { Known } from '../audit.ts';
import { type Finding, finding } from '../finding.ts';
import type { Package } from '../tree.ts';
import { NEAR_NPM, NEAR_PYPI } from './popular/near.ts';
import { POPULAR_NPM } from './popular/npm.ts';
import { POPULAR_PYPI } from './popular/pypi.ts';

/** Shorter names are all one slip from each other. */
const SHORTEST = 5;

/** Names that a reader, or a model that writes an install command, takes for a popular one. */
export function checkNames({ packages }: Known): readonly Finding[] {
  const found: Finding[] = [];
  // What a person typed, and what its authors did: deeper down nobody chose by reading.
  const typed = new Set(packages.flatMap(({ server, ref, needs }) => (server ? [ref, ...needs] : [])));
  for (const one of packages) {
    if (one.kind === 'deb' || one.base) continue;
    const near = resembles(one);
    if (near)
      found.push(
        finding('name-suspect', one.ref, `Its name is ${near.how} the popular ${near.name}`, {
          evidence: [near.name],
          ...(typed.has(one.ref) ? {} : { severity: 'low' as const }),
        }),
      );
  }
  return found;
}

/** The popular name that a name could be taken for; undefined for names that are popular or well known themselves. */
export function resembles({ kind, name }: Pick<Package, 'kind' | 'name'>): { name: string; how: string } | undefined {
  const { known, plain, byLength } = kind === 'npm' ? npmNames() : pypiNames();
  const own = kind === 'npm' ? name : normalizeProject(name);
  if (known.has(own) || (kind === 'npm' ? NEAR_NPM : NEAR_PYPI).has(own)) return undefined;
  const twin = plain.get(plainOf(own));
  if (twin !== undefined && twin !== own) return { name: twin, how: 'spelt almost like' };
  const short = own.slice(own.indexOf('/') + 1);
  const scope = own.slice(0, own.length - short.length);
  // A scope that slipped: @modelcontextprotocl/server-memory.
  if (scope !== '') {
    for (const other of known) {
      const slash = other.indexOf('/');
      if (slash < 0 || other.slice(slash + 1) !== short) continue;
      if (oneSlip(scope.slice(1, -1), other.slice(1, slash))) return { name: other, how: 'one letter away from' };
    }
  }
  if (short.length < SHORTEST) return undefined;
  for (const length of [short.length - 1, short.length, short.length + 1]) {
    for (const other of byLength.get(`${scope}${length}`) ?? []) {
      if (other.length >= SHORTEST && oneSlip(short, other) && !isVariant(short, other)) {
        return { name: `${scope}${other}`, how: 'one letter away from' };
      }
    }
  }
  return undefined;
}

interface Names {
  readonly known: ReadonlySet<string>;
  /** Without scope marks and separators. */
  readonly plain: ReadonlyMap<string, string>;
  /** Names without their scope, by scope and length. */
  readonly byLength: ReadonlyMap<string, readonly string[]>;
}

let npm: Names | undefined;
let pypi: Names | undefined;

function npmNames(): Names {
  npm ??= namesOf(POPULAR_NPM);
  return npm;
}

function pypiNames(): Names {
  pypi ??= namesOf(POPULAR_PYPI);
  return pypi;
}

function namesOf(known: ReadonlySet<string>): Names {
  const plain = new Map<string, string>();
  const byLength = new Map<string, string[]>();
  for (const name of known) {
    if (plainOf(name).length >= SHORTEST) plain.set(plainOf(name), name);
    const short = name.slice(name.indexOf('/') + 1);
    const key = `${name.slice(0, name.length - short.length)}${short.length}`;
    byLength.set(key, [...(byLength.get(key) ?? []), short]);
  }
  return { known, plain, byLength };
}

function plainOf(name: string): string {
  return name.toLowerCase().replace(/[@/._-]/g, '');
}

/** A number or a plural at the end is how families of packages are named (`d3-array`, `uuid4`), by their own authors. */
function isVariant(a: string, b: string): boolean {
  const stem = (name: string) => name.replace(/(?:\d+|(?<=[a-z]{4})s)$/, '');
  return stem(a) === stem(b) && a !== b && (/[\ds]$/.test(a) || /[\ds]$/.test(b));
}

/** Whether one insertion, removal, replacement or exchange of neighbours makes one of the other. */
export function oneSlip(a: string, b: string): boolean {
  if (a === b || Math.abs(a.length - b.length) > 1) return false;
  let at = 0;
  while (at < a.length && a[at] === b[at]) at += 1;
  if (a.length === b.length) {
    if (a.slice(at + 1) === b.slice(at + 1)) return true;
    return a[at] === b[at + 1] && a[at + 1] === b[at] && a.slice(at + 2) === b.slice(at + 2);
  }
  return a.length > b.length ? a.slice(at + 1) === b.slice(at) : a.slice(at) === b.slice(at + 1);
}
