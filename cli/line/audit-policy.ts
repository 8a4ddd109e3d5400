import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, sha256 } from '../../digest/index.ts';
import { readBounded } from '../../files/index.ts';
import { DEFAULT_VETTING, loadPolicy, type VettingRules } from '../../trust/index.ts';
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
 * it), else the user's. A policy that says nothing of vetting leaves the defaults.
 * @throws what `loadPolicy` throws
 */
export async function vettingRules(environment: Environment, workspace: string, named?: string): Promise<AppliedRules> {
  const [system, ...users] = policyFiles(environment);
  const candidates = [system, named, ...(named === undefined ? [join(workspace, 'policy.yaml'), ...users] : [])];
  for (const file of candidates) {
    if (file === undefined || (file !== named && !(await exists(file)))) continue;
    const policy = await loadPolicy(file, followedRoots(homeOf(environment)));
    return { rules: policy.vetting ?? DEFAULT_VETTING, file, digest: sha256(await readBounded(file, 1024 * 1024)) };
  }
  return { rules: DEFAULT_VETTING, file: undefined, digest: undefined };
}

function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
