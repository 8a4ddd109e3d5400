import { matches } from '../../trust/index.ts';
import type { Known } from '../audit.ts';
import { type Finding, type FindingCode, finding, printed, WHY } from '../finding.ts';
import { fileKey, indexOf, nameOf, type Package } from '../tree.ts';
import type { Contents, Place } from './contents.ts';
import { checkLicence } from './licence.ts';
import { merge } from './merge.ts';
import { isOfTests, PLACES } from './scan.ts';

/** What the archives of a tree hold; with a previous lock also what is new in them. */
export function checkContents(known: Known): readonly Finding[] {
  const { packages, contents, deferred = false, unfetched, previous, rules } = known;
  const found: Finding[] = [];
  for (const one of packages) {
    if (one.kind === 'deb' || one.base) continue;
    if (previous && !previous.packages.some((other) => nameOf(other) === nameOf(one))) {
      found.push(finding('new-dependency', one.ref, 'Was not in the previous lock', { isNew: true }));
    }
    const read = one.files.map((file) => contents.get(fileKey(file))).filter((each) => each !== undefined);
    if (read.length < one.files.length && !deferred) {
      // Nobody has looked into it, which is not the archive's fault, and no pass either.
      const [why] = one.files.flatMap((file) => unfetched?.get(fileKey(file)) ?? []);
      found.push(
        why === undefined
          ? finding('unreadable', one.ref, 'Its archive was not read')
          : finding('not-checked', one.ref, 'Its archive could not be fetched, so nobody knows what it holds', {
              severity: 'high',
              evidence: [printed(why)],
              silence: {
                source: indexOf(one),
                what: 'Archives could not be fetched, so nobody knows what they hold, of',
                why: printed(why, WHY),
              },
            }),
      );
    }
    const [first] = read;
    if (!first) {
      // Its native lock may name the licence, without its archive.
      if (one.license !== undefined) found.push(...checkLicence(one, one.license, rules.licences, matches));
      continue;
    }
    const all = merge(read);
    found.push(...ofPackage(one, all), ...checkLicence(one, all.license ?? one.license, rules.licences, matches));
    found.push(...compare(one, all, previous));
  }
  return found;
}

function ofPackage(one: Package, all: Contents): readonly Finding[] {
  const { ref } = one;
  const found: Finding[] = [];
  const placed = (code: FindingCode, places: readonly Place[], message: string, rest = {}) => {
    if (places.length > 0)
      found.push(finding(code, ref, message, { evidence: places.slice(0, 10).map(shown), ...rest }));
  };
  if (all.stopped !== undefined)
    found.push(finding('unreadable', ref, `Its archive was not read to the end: ${printed(all.stopped)}`));
  if (all.name === undefined)
    found.push(finding('manifest-mismatch', ref, 'Its archive has no manifest that says what it is'));
  else if (all.name !== one.name || !sameRelease(all.version, one.version)) {
    found.push(
      finding('manifest-mismatch', ref, `Its archive says that it is ${printed(`${all.name}@${all.version}`)}`),
    );
  }
  for (const { name, spec } of all.exotic) {
    found.push(finding('exotic-dependency', ref, `Wants ${printed(name)} from ${printed(spec)}, not from a registry`));
  }
  const scripts = Object.entries(all.scripts);
  if (scripts.length > 0) {
    found.push(
      finding('install-script', ref, `Has ${scripts.map(([name]) => name).join(', ')}`, {
        evidence: scripts.map(([name, command]) => `${name}: ${printed(command)}`),
      }),
    );
  }
  for (const { path, lines } of all.hooks) {
    if (path.endsWith('.pth') && lines.length === 0) continue;
    const harmless = lines.length > 0 && lines.every(isKnownHook);
    found.push(
      finding('startup-hook', ref, `${printed(path)} runs whenever Python starts`, {
        evidence: lines.slice(0, 10).map((line) => printed(line)),
        ...(harmless ? { severity: 'low' as const } : {}),
      }),
    );
  }
  placed('obfuscated', all.obfuscated, 'Hides what its code does');
  const [unseen] = all.unicode;
  if (unseen) {
    // A refusal shows nothing but the message.
    const { path, line, what } = unseen;
    placed('hidden-unicode', all.unicode, `Holds characters that nobody sees: in ${printed(path)}:${line}, ${what}`);
  }
  // Tests bring keys of their own making. A full list may have left others out, so that nobody can say that all are such.
  const ofTests = all.credentials.length < PLACES && all.credentials.every(({ path }) => isOfTests(path));
  placed(
    'credential',
    all.credentials,
    `Holds what looks like a credential${ofTests ? ', in its tests' : ''}`,
    ofTests ? { severity: 'low' } : {},
  );
  // A pipe to a shell may be a hint to a person; code that evaluates what it fetched is none.
  const evaluates = all.downloads.some(({ what }) => /^(?:eval|exec)/.test(what));
  placed('download-and-run', all.downloads, 'Fetches code and runs it', evaluates ? {} : { severity: 'medium' });
  placed('reads-secrets', all.secretFiles, 'Names files that hold secrets');
  placed('child-process', all.processes, 'Starts other programs');
  placed('dynamic-code', all.dynamic, 'Evaluates code made at run time');
  listed(found, 'native-binary', ref, all.native, (count) => `Holds ${count} compiled file${count === 1 ? '' : 's'}`);
  listed(
    found,
    'minified',
    ref,
    all.minified,
    (count) => `Holds ${count} file${count === 1 ? '' : 's'} of minified code`,
  );
  listed(found, 'network-host', ref, all.hosts, (count) => `Names ${count} host${count === 1 ? '' : 's'}`);
  listed(
    found,
    'environment',
    ref,
    all.environment,
    (count) => `Names ${count} environment variable${count === 1 ? '' : 's'}`,
  );
  return found;
}

function listed(
  found: Finding[],
  code: FindingCode,
  ref: string,
  names: readonly string[],
  say: (count: number) => string,
): void {
  if (names.length === 0) return;
  found.push(finding(code, ref, say(names.length), { evidence: names.slice(0, 40).map((name) => printed(name)) }));
}

function shown({ path, line, what }: Place): string {
  return `${printed(path)}${line === undefined ? '' : `:${line}`} ${printed(what)}`;
}

/** Lines that well-known packages ship; anything else in front of or behind them makes another line. */
const KNOWN_HOOKS: readonly RegExp[] = [
  // setuptools
  /^import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os\.environ\.get\(var, '(?:local|stdlib)'\) == 'local'; enabled and __import__\('_distutils_hack'\)(?:\.add_shim\(\))?;\s*$/,
  // namespace packages of old setuptools
  /^import sys, types, os;has_mfs = sys\.version_info > \(3, 5\);p = os\.path\.join\(sys\._getframe\(1\)\.f_locals\['sitedir'\], \*\('[\w.', ]+\)\);importlib = has_mfs and __import__\('importlib\.util'\);has_mfs and __import__\('importlib\.machinery'\);m = [\w.()=;, '[\]:*]+$/,
  // pywin32
  /^import pywin32_bootstrap\s*$/,
];

function isKnownHook(line: string): boolean {
  return KNOWN_HOOKS.some((known) => known.test(line));
}

function sameRelease(said: string | undefined, locked: string): boolean {
  if (said === locked) return true;
  // npm ignores a leading v and build metadata; PEP 440 has many spellings. What differs otherwise is another release.
  const plain = (text: string) =>
    text
      .toLowerCase()
      .replace(/^[v=]+/, '')
      .replace(/\+.*$/, '')
      .replace(/[-_.]/g, '')
      .replace(/(?<=\D|^)0+(?=\d)/g, '');
  return said !== undefined && plain(said) === plain(locked);
}

interface Novelty {
  readonly what: string;
  readonly of: (contents: Contents) => readonly string[];
}

const NOVELTIES: readonly Novelty[] = [
  { what: 'now talks to', of: ({ hosts }) => hosts },
  { what: 'now reads the variable', of: ({ environment }) => environment },
  { what: 'now starts programs with', of: ({ processes }) => processes.map(({ what }) => what) },
  { what: 'now reads', of: ({ secretFiles }) => secretFiles.map(({ what }) => what) },
  { what: 'now evaluates code with', of: ({ dynamic }) => dynamic.map(({ what }) => what) },
  { what: 'now has the install script', of: ({ scripts }) => Object.keys(scripts) },
  { what: 'now runs at every start', of: ({ hooks }) => hooks.map(({ path }) => path) },
  {
    what: 'now holds the compiled file',
    of: ({ native }) => native.map((path) => path.slice(path.lastIndexOf('/') + 1)),
  },
];

/** An update shows what is new in it; a package that is new altogether is told as that. */
function compare(one: Package, now: Contents, previous: Known['previous']): readonly Finding[] {
  const earlier = previous?.packages.filter((other) => nameOf(other) === nameOf(one)) ?? [];
  if (!previous || earlier.length === 0 || earlier.some(({ ref }) => ref === one.ref)) return [];
  const read = earlier.flatMap(({ files }) => files.flatMap((file) => previous.contents.get(fileKey(file)) ?? []));
  if (read.length === 0) return [];
  const before = merge(read);
  return NOVELTIES.flatMap(({ what, of }) => {
    const old = new Set(of(before));
    const fresh = [...new Set(of(now))].filter((name) => !old.has(name));
    if (fresh.length === 0) return [];
    return [
      finding(
        'new-behaviour',
        one.ref,
        `${what} ${fresh
          .slice(0, 3)
          .map((name) => printed(name))
          .join(', ')}${fresh.length > 3 ? ` and ${fresh.length - 3} more` : ''}`,
        {
          evidence: fresh.slice(0, 40).map((name) => printed(name)),
          isNew: true,
        },
      ),
    ];
  });
}
