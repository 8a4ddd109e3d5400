import { McpBuildError } from '../../../errors/index.ts';
import type { Offer } from '../../../runner/index.ts';
import type { Finding } from '../../../vetting/index.ts';
import { auditLock, requireVetted } from '../audit.ts';
import { checkLock, type LockFinding } from '../check.ts';
import { entryRules } from '../entry.ts';
import type { Job, PublishSettings } from './job.ts';

/**
 * The gate before an image is pushed: every file of its lock must be the one that its index lists today, and an audit of what is in it, and of what
 * the image was seen to offer, must find nothing that the policy refuses. @returns what was noticed all the same, worst first
 * @throws McpBuildError `lock-mismatch`, `vetting-refused`, both with exit 4, and what reading packages and indexes throws
 */
export async function vet(
  job: Job,
  offer: Offer | undefined,
  { home, environment, workspace, rules, now }: PublishSettings,
  progress: (line: string) => void,
): Promise<readonly Finding[]> {
  const { entry, folder } = job;
  progress('asking the indexes');
  const other = (await checkLock(folder.lock, { home, environment, workspace })).filter(
    ({ status }) => status === 'mismatch',
  );
  if (other.length > 0) throw lockMismatch(entry.name, other);
  const settings = { home, environment, workspace, rules: entryRules(job.entry, rules), tools: offer, now, progress };
  const audited = await auditLock(folder, settings);
  requireVetted(audited);
  return audited.findings.filter(({ severity }) => severity !== 'none');
}

function lockMismatch(name: string, found: readonly LockFinding[]): McpBuildError {
  const lines = found.slice(0, 5).map(({ file, detail }) => `${file}: ${detail}`);
  return new McpBuildError({
    code: 'lock-mismatch',
    message: `The lock of ${name} names other bytes than the indexes list: ${lines.join('; ')}${found.length > 5 ? `; and ${found.length - 5} more` : ''}`,
    input: name,
    fix: 'Find out who changed the lock, or the package, before anything is built from it.',
    exit: 4,
  });
}
