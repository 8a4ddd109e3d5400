import { matches } from '../../trust/index.ts';
import type { Known } from '../audit.ts';
import { type Finding, finding, printed } from '../finding.ts';
import { nameOf, type Package } from '../tree.ts';

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

export function checkProvenance({ packages, provenance, rules }: Known): readonly Finding[] {
  if (!provenance) return [];
  return packages.flatMap((one) => {
    const said = provenance.get(one.ref);
    return said ? judge(one, said, expected(one, rules.repositories), required(one, rules.requireProvenance)) : [];
  });
}

function judge(
  { ref, files }: Package,
  { signature, attestation, earlier }: Provenance,
  repository: string | undefined,
  must: boolean,
): readonly Finding[] {
  const found: Finding[] = [];
  if (signature.state === 'invalid')
    found.push(
      finding('registry-signature', ref, `The registry’s signature does not verify: ${printed(signature.reason)}`),
    );
  if (signature.state === 'absent')
    found.push(finding('registry-signature', ref, 'The registry signs its packages, and this one has no signature'));
  const locked = files.map((file) => (file.kind === 'deb' ? undefined : file.origin)).find((one) => one !== undefined);
  const before = locked ?? earlier?.origin;
  switch (attestation.state) {
    case 'absent':
      if (before || earlier) {
        const then = locked ? 'it had when it was locked' : `version ${printed(earlier?.version ?? '', 40)} has`;
        found.push(
          finding('trust-downgrade', ref, `Has no provenance, while ${then}`, {
            evidence: before ? [`repository ${printed(before.repository)}`] : [],
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
    case 'unknown':
      found.push(
        finding(
          'not-checked',
          ref,
          `Its provenance could not be read: ${printed(attestation.reason)}`,
          must || before ? { severity: 'high' } : {},
        ),
      );
      break;
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
      const other = repository !== undefined && !sameRepository(repository, origin.repository);
      if (other) {
        found.push(mismatch(ref, origin, `the policy expects ${repository}`));
      } else if (
        repository === undefined &&
        before &&
        (before.issuer !== origin.issuer || !sameRepository(before.repository, origin.repository))
      ) {
        found.push(
          mismatch(
            ref,
            origin,
            `${locked ? 'it was locked from' : `version ${earlier?.version} is from`} ${before.repository}`,
          ),
        );
      }
    }
  }
  return found;
}

function mismatch(ref: string, { repository, issuer }: Origin, but: string): Finding {
  return finding('identity-mismatch', ref, `Was built in ${printed(repository)}, but ${printed(but)}`, {
    evidence: [`repository ${repository}`, `issuer ${issuer}`],
  });
}

function expected(one: Package, repositories: Readonly<Record<string, string>>): string | undefined {
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
