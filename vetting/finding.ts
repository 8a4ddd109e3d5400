import type { Severity } from '../trust/index.ts';

interface Kind {
  /** Unless the finding itself knows better, as an advisory does. */
  readonly severity: Severity;
  readonly title: string;
  readonly remedy: string;
}

/**
 * Everything that vetting can find. The keys are stable: policies, scripts and tests name them. `none` is a fact for a reviewer, not a
 * fault. docs/vetting.md explains each.
 */
export const FINDINGS = {
  malware: kind(
    'critical',
    'known malware',
    'Do not use this release; if it ever ran, rotate every secret it could reach.',
  ),
  'known-vulnerable': kind('medium', 'known vulnerability', 'Update to a version that is not affected.'),
  'advisories-missing': kind(
    'low',
    'no advisories',
    'Run `mcp-build advisories update`, or name a batch API with --advisories-url.',
  ),
  'advisories-stale': kind('medium', 'old advisories', 'Run `mcp-build advisories update`.'),
  'too-new': kind(
    'high',
    'fresh release',
    'Wait, or take an older version; name the package under vetting.releaseAgeExcept if you know the release.',
  ),
  'age-unknown': kind('medium', 'unknown age', 'Use an index that passes on upload times.'),
  deprecated: kind('low', 'deprecated', 'Take the version or package that its authors recommend.'),
  yanked: kind('high', 'yanked', 'Take a version that was not yanked: its authors took it back.'),
  withdrawn: kind('high', 'no longer listed', 'Find out why the index no longer lists it before you use it.'),
  integrity: kind('critical', 'other bytes than published', 'Find out who replaced the file before you lock again.'),
  'not-checked': kind('low', 'could not be checked', 'Run the audit again where the index can be reached.'),
  'exotic-dependency': kind(
    'high',
    'dependency from outside a registry',
    'Take a version whose dependencies are all published.',
  ),
  'wrong-source': kind(
    'critical',
    'from the wrong index',
    'Configure the index that the name is bound to, then lock again.',
  ),
  'registry-signature': kind(
    'high',
    'registry signature',
    'Do not use the release until its registry has a valid signature for it.',
  ),
  'attestation-missing': kind(
    'low',
    'no provenance',
    'Nothing says where it was built; ask its authors for trusted publishing.',
  ),
  'attestation-invalid': kind(
    'high',
    'invalid provenance',
    'Do not use the release: what is said about its origin does not verify.',
  ),
  'subject-mismatch': kind(
    'critical',
    'provenance of another package',
    'Do not use the release: the attestation was made for something else.',
  ),
  'identity-mismatch': kind(
    'high',
    'provenance of another origin',
    'Ask its authors; name the new repository under vetting.repositories once you know that it moved.',
  ),
  'trust-downgrade': kind(
    'high',
    'less proof than before',
    'Take the earlier version until its authors explain why this one was published otherwise.',
  ),
  'name-suspect': kind('high', 'name close to a popular one', 'Check that this is the package you mean.'),
  'name-claim': kind('medium', 'MCP Registry name', 'Use a server.json and a package that name each other.'),
  'new-maintainer': kind('low', 'new maintainer', 'Look who it is, and whether the project says so.'),
  'new-dependency': kind('low', 'new dependency', 'Look at what it is and who needs it.'),
  'install-script': kind(
    'low',
    'install script',
    'Nothing: it never runs here. A server that needs it will fail its test.',
  ),
  'startup-hook': kind('high', 'code at every start of Python', 'Read it; except it by name if it is harmless.'),
  'native-binary': kind('none', 'native binary', 'Nothing: it is named because nobody can read it here.'),
  obfuscated: kind('high', 'obfuscated code', 'Read what it hides, or take another package.'),
  minified: kind('none', 'minified code', 'Nothing: it is named because a reviewer can hardly read it.'),
  'hidden-unicode': kind('high', 'hidden characters', 'Look at the file with an editor that shows them.'),
  credential: kind('medium', 'credential inside', 'Tell its authors; whoever can read the package has it.'),
  'download-and-run': kind(
    'high',
    'downloads and runs code',
    'Read it: what it will run is not in the image and was never vetted.',
  ),
  'reads-secrets': kind('low', 'reads files that hold secrets', 'Read why; give the server no volume that has them.'),
  'network-host': kind('none', 'network hosts named', 'Nothing: without --allow-net none of them can be reached.'),
  environment: kind('none', 'environment variables named', 'Nothing: the server is given only those that you pass.'),
  'child-process': kind('none', 'starts processes', 'Nothing: the image has no shell and only what was locked.'),
  'dynamic-code': kind('none', 'evaluates code', 'Nothing: it is named because what is evaluated is not in the file.'),
  'new-behaviour': kind('low', 'new behaviour', 'Read what changed between the two versions.'),
  'licence-unknown': kind('low', 'no licence', 'Ask its authors under which terms it may be used.'),
  'licence-refused': kind('high', 'licence', 'Take a package under other terms, or allow this licence in the policy.'),
  'manifest-mismatch': kind('high', 'says it is another package', 'Do not use the release.'),
  unreadable: kind('high', 'could not be read', 'Do not use it: what could not be read was not vetted.'),
  'tool-poisoning': kind('high', 'instructions to the model', 'Read the text; do not show it to a model.'),
  'tool-collision': kind('medium', 'tools of one name', 'Rename or filter one of them.'),
  'tool-shadowing': kind(
    'high',
    'speaks about another server’s tools',
    'Read the text; do not run both servers together.',
  ),
  'tools-drift': kind(
    'high',
    'offers something else than before',
    'Review the change; then run `mcp-build test` and attest again.',
  ),
  'tools-unknown': kind('low', 'tools never listed', 'Run `mcp-build test` to list what the server offers.'),
  unpinned: kind('medium', 'started without a pin', 'Start it with `mcp-build run`, which keeps a lock and verifies.'),
  'exception-expired': kind('medium', 'exception expired', 'Remove it, or give it a new reason and day.'),
  'permission-unused': kind('low', 'permission never used', 'Paste the narrower permissions.'),
  'not-allowed-any-more': kind('high', 'may no longer run', 'Publish it again, or stop it.'),
  'base-update': kind('low', 'newer base packages', 'Run `mcp-build base update`, lock and build again.'),
} as const satisfies Record<string, Kind>;

export type FindingCode = keyof typeof FINDINGS;

export interface Finding {
  readonly code: FindingCode;
  readonly severity: Severity;
  /** What it is about: `npm:zod@4.1.0`, `pypi:…`, `deb:…`, `tool:<server>/<name>`, or the server's own name. */
  readonly subject: string;
  /** One sentence. Text from outside is in it only after `printed`. */
  readonly message: string;
  /** Where it was seen, as a reviewer would look it up: paths, lines, addresses. Bounded. */
  readonly evidence: readonly string[];
  readonly remedy: string;
  /** The advisory, by its best-known name. */
  readonly id?: string;
  readonly aliases?: readonly string[];
  /** Version that no longer has it. */
  readonly fixed?: string;
  /** From the server to the subject, the shortest way. */
  readonly path?: readonly string[];
  /** Not in the lock that this one follows. */
  readonly isNew?: boolean;
  /** Of what nobody could be asked about: reports tell what has `source` and `what` in common as one. */
  readonly silence?: Silence;
  /** Accepted by the policy, and why. */
  readonly excepted?: { readonly reason: string; readonly expires: string };
}

/** Characters of `why`: an address cut short would be another reason for each package. */
export const WHY = 600;

/** Who said nothing, of what, and why. */
export interface Silence {
  /** `npm registry "default"`: the same for all that it didn't speak of. */
  readonly source: string;
  /** The sentence on it up to the packages. */
  readonly what: string;
  readonly why: string;
}

type Details = Partial<Omit<Finding, 'code' | 'subject' | 'message'>>;

/** One finding with what its kind says by default. */
export function finding(code: FindingCode, subject: string, message: string, details: Details = {}): Finding {
  const { severity, remedy } = FINDINGS[code];
  return { code, severity, subject, message, evidence: [], remedy, ...details };
}

function kind(severity: Severity, title: string, remedy: string): Kind {
  return { severity, title, remedy };
}

/** Text from a package, an index or a server, for one line of a report: no control or hidden characters, not endless. */
export function printed(text: string, limit = 160): string {
  const shown = text
    .replace(/\s+/gu, ' ')
    .replace(
      /\p{C}|\p{Variation_Selector}|[\u{e0000}-\u{e0fff}]/gu,
      (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
    );
  return shown.length > limit ? `${shown.slice(0, limit)}…` : shown;
}

/** Worst first, then by code and subject, so that two runs print the same. */
export function sorted(findings: readonly Finding[]): readonly Finding[] {
  const rank: Readonly<Record<Severity, number>> = { critical: 0, high: 1, medium: 2, low: 3, none: 4 };
  const key = ({ code, subject, id = '', message }: Finding) => `${code}\0${subject}\0${id}\0${message}`;
  return [...findings].sort(
    (a, b) => rank[a.severity] - rank[b.severity] || (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0),
  );
}
