import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, sha256 } from '../../digest/index.ts';
import { McpBuildError, nearest } from '../../errors/index.ts';
import { readBounded } from '../../files/index.ts';
import { DEFAULT_VETTING, loadPolicy, parseDuration, type VettingRules } from '../../trust/index.ts';
import { FINDINGS } from '../../vetting/index.ts';
import { type Environment, homeOf } from './home.ts';
import { policyFiles } from './policy.ts';
import { followedRoots } from './roots.ts';

export interface AppliedRules {
  readonly rules: VettingRules;
  /** Where they come from; undefined for what holds without a policy. */
  readonly file: string | undefined;
  readonly digest: Digest | undefined;
}

/**
 * What is refused: by the system's policy, else the one that is named, else the folder's own (whoever audits or publishes from a folder means
 * it), else the user's. A policy that says nothing of vetting leaves the defaults. @param workspace undefined where the folder is not trusted
 * @throws what `loadPolicy` throws
 */
export async function vettingRules(
  environment: Environment,
  workspace: string | undefined,
  named?: string,
): Promise<AppliedRules> {
  const [system, ...users] = policyFiles(environment);
  const own = workspace === undefined ? [] : [join(workspace, 'policy.yaml')];
  const candidates = [system, named, ...(named === undefined ? [...own, ...users] : [])];
  for (const file of candidates) {
    if (file === undefined || (file !== named && !(await exists(file)))) continue;
    const policy = await loadPolicy(file, followedRoots(homeOf(environment)));
    const rules = policy.vetting ?? DEFAULT_VETTING;
    requireKnown(rules, file);
    return { rules, file, digest: sha256(await readBounded(file, 1024 * 1024)) };
  }
  return { rules: DEFAULT_VETTING, file: undefined, digest: undefined };
}

/**
 * A slip in the code of a finding must not become a hole: what was to be refused or stopped would pass.
 * @throws McpBuildError `policy-invalid`
 */
function requireKnown({ codes, stop, exceptions }: VettingRules, file: string): void {
  const said = [
    ...Object.keys(codes).map((code) => ['codes', code] as const),
    ...stop.map((code) => ['stop', code] as const),
    ...exceptions.map(({ finding }) => ['exceptions', finding] as const),
  ];
  const unknown = said.find(([, code]) => !Object.hasOwn(FINDINGS, code));
  if (!unknown) return;
  const [where, code] = unknown;
  const known = nearest(code, Object.keys(FINDINGS));
  const advisory = where === 'exceptions' && /^[A-Z]+-/.test(code);
  throw new McpBuildError({
    code: 'policy-invalid',
    message: `Policy ${file} names at vetting.${where} "${code}", which is the code of no finding`,
    input: file,
    fix: advisory
      ? `Write finding: known-vulnerable and advisory: ${code}.`
      : known
        ? `Did you mean ${known}?`
        : 'Take a code that docs/vetting.md lists.',
    exit: 2,
  });
}

/** Rules with the age of releases that whoever locked asked for, in days. Where the policy says how old they must be, that stands. */
export function withReleaseAge(rules: VettingRules, days: number | undefined): VettingRules {
  if (rules.releaseAge !== undefined || days === undefined) return rules;
  if (days > 0) return { ...rules, releaseAge: `${Math.max(1, Math.round(days * 24))}h` };
  return { ...rules, codes: { 'too-new': 'low', ...rules.codes } };
}

/** In days: what the policy asks of a release's age, so that what it would refuse isn't chosen. */
export function policyAge(rules: VettingRules | undefined): number {
  return (rules?.releaseAge === undefined ? 0 : (parseDuration(rules.releaseAge) ?? 0)) / 86_400_000;
}

function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
