import { matches } from '../../trust/index.ts';
import type { Known } from '../audit.ts';
import { type Finding, finding, printed, WHY } from '../finding.ts';
import { indexOf, nameOf, type Package } from '../tree.ts';

/** Where a package was built, as a certificate says it. */
export interface Origin {
  /** Issuer of the token that the builder showed. */
  readonly issuer: string;
  /** URI of the source repository, without a trailing `.git`. */
  readonly repository: string;
  /** The workflow within it. */
  readonly workflow?: string | undefined;
}

/** What could be found out about who published a package, and how. Nothing in it is taken from what wasn't verified. */
export interface Provenance {
  readonly signature:
    | { readonly state: 'valid' | 'absent' | 'unsupported' }
    | { readonly state: 'invalid'; readonly reason: string };
  readonly attestation:
    | { readonly state: 'attested'; readonly origin: Origin }
    | { readonly state: 'absent' }
    | { readonly state: 'unknown'; readonly reason: string }
    | { readonly state: 'invalid' | 'other-subject'; readonly reason: string };
  /** An earlier release of the same package that has provenance; its origin where that verified. */
  readonly earlier?: { readonly version: string; readonly origin: Origin | undefined } | undefined;
}

export function checkProvenance({ packages, provenance, previous, rules }: Known): readonly Finding[] {
  if (!provenance) return [];
  return packages.flatMap((one) => {
    const said = provenance.get(one.ref);
    if (!said) return [];
    const expected = {
      repository: repositoryFor(one, rules.repositories),
      must: required(one, rules.requireProvenance),
      before: pinned(one, previous?.packages ?? [], said),
    };
    return judge(one, said, expected);
  });
}

/** What a package's origin is held against, and in which words. */
interface Before {
  /** Empty where an earlier release has provenance that could not be verified. */
  readonly origins: readonly Origin[];
  readonly has: string;
  readonly is: string;
}

interface Expected {
  /** What the policy says. */
  readonly repository: string | undefined;
  readonly must: boolean;
  readonly before: readonly Before[];
}

/**
 * The lock that this one follows and the lock itself, where they name an origin: both are reviewed, and no registry can change them. Where
 * neither does, the newest earlier release that the registry names.
 */
function pinned(one: Package, previous: readonly Package[], { earlier }: Provenance): readonly Before[] {
  const found: Before[] = [];
  const own = originsOf([one]);
  const followed = originsOf(previous.filter((other) => nameOf(other) === nameOf(one)));
  if (own.length > 0) found.push({ origins: own, has: 'it had when it was locked', is: 'it was locked from' });
  if (followed.length > 0)
    found.push({ origins: followed, has: 'the previous lock’s had', is: 'the previous lock’s was from' });
  if (found.length === 0 && earlier) {
    const version = printed(earlier.version, 40);
    const origins = earlier.origin ? [earlier.origin] : [];
    found.push({ origins, has: `version ${version} has`, is: `version ${version} is from` });
  }
  return found;
}

function originsOf(packages: readonly Package[]): readonly Origin[] {
  return packages.flatMap(({ files }) => files.flatMap((file) => ('origin' in file ? (file.origin ?? []) : [])));
}

function judge(
  one: Package,
  { signature, attestation }: Provenance,
  { repository, must, before }: Expected,
): readonly Finding[] {
  const { ref } = one;
  const found: Finding[] = [];
  if (signature.state === 'invalid')
    found.push(
      finding('registry-signature', ref, `The registry’s signature does not verify: ${printed(signature.reason)}`),
    );
  if (signature.state === 'absent')
    found.push(finding('registry-signature', ref, 'The registry signs its packages, and this one has no signature'));
  switch (attestation.state) {
    case 'absent':
      if (before[0]) {
        found.push(
          finding('trust-downgrade', ref, `Has no provenance, while ${before[0].has}`, {
            evidence: before[0].origins.slice(0, 1).map((one) => `repository ${printed(one.repository)}`),
          }),
        );
      } else {
        found.push(
          finding(
            'attestation-missing',
            ref,
            'Nothing signed says where it was built',
            must || repository ? { severity: 'high' } : { severity: 'none' },
          ),
        );
      }
      break;
    case 'unknown': {
      const why = printed(attestation.reason, WHY);
      const promised = must || before.some(({ origins }) => origins.length > 0);
      found.push(
        finding('not-checked', ref, `Its provenance could not be read: ${printed(attestation.reason)}`, {
          silence: { source: indexOf(one), what: 'Gave no provenance that could be read of', why },
          ...(promised ? { severity: 'high' as const } : {}),
        }),
      );
      break;
    }
    case 'invalid':
      found.push(finding('attestation-invalid', ref, `Its provenance does not verify: ${printed(attestation.reason)}`));
      break;
    case 'other-subject':
      found.push(
        finding('subject-mismatch', ref, `Its provenance is about something else: ${printed(attestation.reason)}`),
      );
      break;
    case 'attested': {
      const { origin } = attestation;
      if (repository !== undefined) {
        if (!sameRepository(repository, origin.repository))
          found.push(mismatch(ref, origin, `the policy expects ${repository}`));
        break;
      }
      const other = before.find(({ origins }) => origins.length > 0 && !origins.some((one) => sameOrigin(one, origin)));
      if (other) found.push(mismatch(ref, origin, `${other.is} ${other.origins[0]?.repository}`));
    }
  }
  return found;
}

function sameOrigin(a: Origin, b: Origin): boolean {
  return a.issuer === b.issuer && sameRepository(a.repository, b.repository);
}

function mismatch(ref: string, { repository, issuer }: Origin, but: string): Finding {
  return finding('identity-mismatch', ref, `Was built in ${printed(repository)}, but ${printed(but)}`, {
    evidence: [`repository ${repository}`, `issuer ${issuer}`],
  });
}

function repositoryFor(one: Package, repositories: Readonly<Record<string, string>>): string | undefined {
  return Object.entries(repositories).find(([pattern]) => matches(pattern, nameOf(one)))?.[1];
}

function required(one: Package, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => matches(pattern, nameOf(one)));
}

/** Forges don't tell cases apart, and people write repositories in several ways. */
export function sameRepository(a: string, b: string): boolean {
  return plainRepository(a) === plainRepository(b);
}

export function plainRepository(text: string): string {
  return text
    .trim()
    .replace(/^git\+/, '')
    .replace(/^git@([^:/]+):/, 'https://$1/')
    .replace(/^(?:ssh|git|http):\/\/(?:git@)?/, 'https://')
    .replace(/[#?].*$/, '')
    .replace(/\/+$/, '')
    .replace(/\.git$/, '')
    .toLowerCase();
}
