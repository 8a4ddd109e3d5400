import type { PublicKey } from '../keys.ts';
import { PREDICATES } from '../statement.ts';
import type { Policy, TrustedKey } from './types.ts';

/** The policy of `--key`: a cosign signature by one of these keys, and nothing else asked. */
export function keyPolicy(keys: readonly PublicKey[]): Policy {
  const by = keys.map((key): TrustedKey => ({ kind: 'key', name: key.id, key }));
  const signature = { predicateType: PREDICATES.signature, by, threshold: 1 };
  return { name: '--key', rules: [{ name: 'signed by a key', signature, require: [], allow: {} }], exceptions: [] };
}

/**
 * The policy that `init` writes: everything must be signed by the team's key, say where it comes from, and be no wider than a server that
 * only computes.
 * @param keyFile the public key, relative to the policy
 */
export function defaultPolicy(keyFile: string): string {
  return `# yaml-language-server: $schema=./policy.schema.json
# Who may sign what, and what it takes for an image to be started. The first rule that matches decides;
# where none does, the answer is no. Every field is in docs/policy.md.
version: 1

keys:
  team:
    file: ${JSON.stringify(keyFile)}

rules:
  - name: signed by the team
    signatures:
      by: [team]
    require:
      # Which server it is, and what it may do.
      - predicate: server
      # What it was built from.
      - predicate: provenance
    allow:
      # Nothing in it may be fresher than this: most hijacked releases are found within days.
      releaseAge: 3d
      permissions:
        network: none
        volumes: []
        environment: ["*"]

# Turn a failed check into a passed one, for a reason and until a day:
# exceptions:
#   - check: too-new
#     source: npm:@example/server
#     version: 1.2.3
#     reason: fixes a bug that stops us
#     expires: 2027-01-31
exceptions: []
`;
}
