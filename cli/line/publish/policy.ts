import { stat } from 'node:fs/promises';
import { isFault, McpBuildError } from '../../../errors/index.ts';
import { keyPolicy, loadPolicy, type Policy, PREDICATES, type PublicKey, type Signer } from '../../../trust/index.ts';
import type { Home } from '../home.ts';
import { publicKeyFile, sharedKeyPaths } from '../keys.ts';
import { followedRoots } from '../roots.ts';
import type { SignerFlags } from '../signer.ts';

export interface PolicyOptions {
  readonly home: Home;
  /** By the flag, else the manifest's. */
  readonly policy: string | undefined;
  readonly signer: SignerFlags;
  readonly load: () => Promise<Signer>;
  readonly dryRun: boolean;
}

/** Accepts nothing: whatever is published already would be looked at anew. */
const NOBODY: Policy = { name: 'no policy', rules: [], exceptions: [] };

/**
 * What a stranger asks of what is published: the policy that is committed beside the manifest, else that the signer's own key has signed it and said
 * what it is and what it was built from. A dry run goes without either, as nothing is signed. @throws McpBuildError `policy-missing` where a signer has no key of its own, and
 * what reading them throws
 */
export async function publishPolicy({ home, policy, signer, load, dryRun }: PolicyOptions): Promise<Policy> {
  if (policy !== undefined) return loadPolicy(policy, followedRoots(home));
  const key = signer.keyless
    ? undefined
    : await publicHalf(signer, home, load).catch((error: unknown) => {
        if (dryRun && isFault(error, 'key-missing')) return undefined;
        throw error;
      });
  if (key) return ownPolicy(key);
  if (dryRun) return NOBODY;
  throw new McpBuildError({
    code: 'policy-missing',
    message: 'Nothing says whom a stranger should trust with what is signed here',
    fix: 'Write a policy with the identity that signs, and name it as policy: in the manifest or with --policy.',
    exit: 2,
  });
}

/** Beside the private key, so that nobody is asked for a passphrase before anything needs a signature. */
async function publicHalf(
  { key, exec }: SignerFlags,
  home: Home,
  load: () => Promise<Signer>,
): Promise<PublicKey | undefined> {
  if (exec === undefined) {
    const beside = key === undefined ? sharedKeyPaths(home.keys).public : key.replace(/\.key$/, '.pub');
    if (beside !== key && (await stat(beside).catch(() => undefined))?.isFile())
      return (await publicKeyFile(beside)).key;
  }
  return (await load()).key;
}

function ownPolicy(key: PublicKey): Policy {
  const policy = keyPolicy([key]);
  const rules = policy.rules.map((rule) => ({
    ...rule,
    require: [PREDICATES.server, PREDICATES.provenance].map((predicateType) => ({ ...rule.signature, predicateType })),
  }));
  return { ...policy, name: `the key ${key.id}`, rules };
}
