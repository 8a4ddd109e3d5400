import { type Digest, hexOf, isDigest } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { parseStanza } from './control.ts';

/** What a suite's signed index of indexes says. */
export interface Release {
  readonly suite: string;
  /** When the archive made it. */
  readonly date: Date;
  readonly byHash: boolean;
  /** Whether `binary-<architecture>` leaves out packages of architecture `all`, which then have an index of their own. */
  readonly separateAll: boolean;
  /** Path below `dists/<suite>/` → what the file must be. Empty for a suite that lists none. */
  readonly files: ReadonlyMap<string, { readonly digest: Digest; readonly size: number }>;
}

export interface ReleaseExpectation {
  readonly suite: string;
  readonly now: Date;
  /** The date of the release that was accepted last: an older one is a replay. */
  readonly notBefore: Date | undefined;
}

/**
 * Reads a `Release` text whose signature was checked.
 * A valid signature says only that Debian wrote this once: that it is the suite asked for, and not one of last year, is checked here.
 * @throws McpBuildError `index-mismatch`, `index-expired`, `index-rollback`, `index-invalid`, `control-invalid`
 */
export function parseRelease(text: string, expected: ReleaseExpectation): Release {
  const { suite, now, notBefore } = expected;
  const stanza = parseStanza(text, `Release of ${suite}`);
  const codename = stanza.get('codename');
  if (codename !== suite) {
    throw refused('index-mismatch', suite, `is the index of "${codename ?? 'an unnamed suite'}"`);
  }
  const date = instant(stanza.get('date'), suite);
  const until = stanza.get('valid-until');
  if (until !== undefined && instant(until, suite) < now) {
    throw refused('index-expired', suite, `was valid until ${instant(until, suite).toISOString()}`);
  }
  if (notBefore && date < notBefore) {
    throw refused(
      'index-rollback',
      suite,
      `is of ${date.toISOString()}, older than ${notBefore.toISOString()}, which the base was locked with`,
    );
  }
  const architectures = (stanza.get('architectures') ?? '').split(/\s+/);
  return {
    suite,
    date,
    byHash: stanza.get('acquire-by-hash') === 'yes',
    separateAll:
      architectures.includes('all') && !/\bPackages\b/.test(stanza.get('no-support-for-architecture-all') ?? ''),
    files: parseFiles(stanza.get('sha256') ?? '', suite),
  };
}

/** Where the same bytes are found while the mirror moves on to newer ones. */
export function byHashPath(path: string, digest: Digest): string {
  return `${path.slice(0, path.lastIndexOf('/'))}/by-hash/SHA256/${hexOf(digest)}`;
}

function parseFiles(section: string, suite: string): Release['files'] {
  const files = new Map<string, { digest: Digest; size: number }>();
  for (const line of section.split('\n')) {
    if (line.trim() === '') continue;
    const [hash, size, path, ...more] = line.trim().split(/\s+/);
    const digest = `sha256:${hash}`;
    if (!isDigest(digest) || !size || !/^[0-9]{1,12}$/.test(size) || !path || more.length > 0) {
      throw refused('index-invalid', suite, `lists a file in a way that can't be read: "${line.slice(0, 200)}"`);
    }
    files.set(path, { digest, size: Number(size) });
  }
  return files;
}

/** `Sat, 12 Sep 2026 07:55:41 UTC`: Debian writes no other zone. */
function instant(text: string | undefined, suite: string): Date {
  const date = new Date(text ?? '');
  if (text === undefined || !/\b(?:UTC|GMT|\+0000)$/.test(text) || Number.isNaN(date.getTime())) {
    throw refused('index-invalid', suite, `has a date that can't be read: "${(text ?? '').slice(0, 100)}"`);
  }
  return date;
}

const FIXES = {
  'index-mismatch': 'Check the mirror: it serves another suite under this name.',
  'index-expired': "Use a mirror that is kept up to date, and check this machine's clock.",
  'index-rollback': 'Use a mirror that is kept up to date. Nothing was changed.',
  'index-invalid': 'Check that the mirror is one of Debian.',
} as const;

function refused(code: keyof typeof FIXES, suite: string, reason: string): McpBuildError {
  return new McpBuildError({ code, message: `InRelease of ${suite} ${reason}`, input: suite, fix: FIXES[code] });
}
