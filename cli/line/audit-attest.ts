import type { Platform } from '../../builders/index.ts';
import { sha256 } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import type { LayoutStore } from '../../registry/index.ts';
import {
  type Attached,
  attest,
  DEFAULT_VETTING,
  PREDICATES,
  type Scan,
  type Signer,
  summaryPredicate,
  verdictOf,
  vulnsPredicate,
} from '../../trust/index.ts';
import { purlOfSubject } from '../../vetting/index.ts';
import { version } from '../version.ts';
import type { Audited } from './audit.ts';
import type { AppliedRules } from './audit-policy.ts';

export interface AuditStatementOptions {
  readonly store: LayoutStore;
  readonly signer: Signer;
  readonly applied: AppliedRules;
  readonly started: Date;
  readonly now: Date;
}

/** The flaws that an audit found, as in-toto's vulns predicate has them. Undefined where nothing was compared with: silence is no good news. */
export function scanOf(
  audited: Pick<Audited, 'findings' | 'advisories'>,
  started: Date,
  finished: Date,
): Scan | undefined {
  const { advisories, findings } = audited;
  if (!advisories) return undefined;
  // The oldest of them is how much is known.
  const collected = [...advisories.collected.values()].sort((a, b) => a.getTime() - b.getTime())[0];
  return {
    scanner: { uri: 'urn:mcp-build:vetting', version: version() },
    database: {
      uri: `urn:mcp-build:osv:${advisories.from.replaceAll(' ', '-')}`,
      ...(collected ? { lastUpdate: collected.toISOString() } : {}),
    },
    started,
    finished,
    found: findings
      .filter(({ code }) => code === 'known-vulnerable' || code === 'malware')
      .map(({ id, severity, subject }) => ({ id: id ?? 'unknown', severity, purl: purlOfSubject(subject) })),
  };
}

/**
 * Says, signed, of an image and of each of its platforms that it was vetted: a verification summary with the policy's digest, and the flaws that
 * are known. Only of what nothing was refused in.
 * @throws McpBuildError `not-built`, and what the signer and the store throw
 */
export async function attestAudit(
  audited: Audited,
  options: AuditStatementOptions,
): Promise<readonly (Attached & { readonly predicate: string })[]> {
  const { lock, refused } = audited;
  if (!lock.index || refused.length > 0) {
    throw new McpBuildError({
      code: refused.length > 0 ? 'vetting-refused' : 'not-built',
      message: `${lock.name} ${refused.length > 0 ? 'was refused' : 'was not built'}: nothing is said about it`,
      input: lock.name,
      fix: `See \`mcp-build ${refused.length > 0 ? 'audit' : 'build'} ${lock.name}\`.`,
      exit: refused.length > 0 ? 4 : 2,
    });
  }
  const { store, signer, applied, started, now } = options;
  const scan = scanOf(audited, started, now);
  const policy = applied.digest
    ? { name: 'policy.yaml', digest: applied.digest }
    : { name: 'urn:mcp-build:vetting:default', digest: sha256(JSON.stringify(DEFAULT_VETTING)) };
  const platforms = Object.keys(lock.platforms) as Platform[];
  const images = platforms.flatMap((platform) => lock.platforms[platform]?.image ?? []);
  const attached: (Attached & { predicate: string })[] = [];
  // The index last, as for every statement.
  for (const digest of [...images, lock.index]) {
    const descriptor = await store.resolve(digest);
    const detail = `${audited.packages.length} packages were vetted`;
    const summary = summaryPredicate({
      verdict: verdictOf(digest, [{ id: 'known-vulnerable', status: 'pass', detail }]),
      resource: `${lock.name}@${digest}`,
      policy,
      inputs: [],
      verified: now,
      verifier: version(),
    });
    if (scan) {
      attached.push({
        ...(await attest(store, descriptor, PREDICATES.vulns, vulnsPredicate(scan), signer, now)),
        predicate: 'vulns',
      });
    }
    attached.push({
      ...(await attest(store, descriptor, PREDICATES.summary, summary, signer, now)),
      predicate: 'summary',
    });
  }
  return attached;
}
