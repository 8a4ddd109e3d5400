import { predicateName, publicPem, type Trusted } from '../../../trust/index.ts';
import type { AdmissionRule } from './admission.ts';
import { label, namespaceObject } from './sigstore.ts';
import type { KubernetesObject } from './types.ts';

/**
 * ClusterPolicies of Kyverno (read in 1.19.1): bundles as referrers, by key or identity, each predicate by its type. A plain signature is asked for by its type, too,
 * as otherwise any bundle of the signer would do. Its trusted root is Kyverno's own, for the whole cluster.
 */
export function kyvernoObjects(rules: readonly AdmissionRule[], namespace: string) {
  const weaker: string[] = [];
  const match = { any: [{ resources: { kinds: ['Pod'], namespaces: [namespace] } }] };
  for (const rule of rules) {
    if (rule.images.some((pattern) => /(?:^|[^*])\*(?:[^*]|$)/.test(pattern)))
      weaker.push(`${rule.name}: * of its images ends at a slash in the policy, and not in Kyverno`);
    for (const one of new Set(rule.said.flatMap(({ by }) => by)))
      if (one.kind === 'identity' && one.root.name !== 'public-good')
        weaker.push(`${rule.name}: the root of ${one.name}, which has to be Kyverno's own (its chart's --tufRoot)`);
  }
  const policies = rules.map(
    (rule): KubernetesObject => ({
      apiVersion: 'kyverno.io/v1',
      kind: 'ClusterPolicy',
      metadata: { name: label(`mcp-build ${rule.name}`, []) },
      spec: {
        validationFailureAction: 'Enforce',
        failurePolicy: 'Fail',
        background: false,
        webhookTimeoutSeconds: 30,
        rules: [
          {
            name: 'signed',
            match,
            verifyImages: [
              {
                type: 'SigstoreBundle',
                imageReferences: rule.images.flatMap(references),
                required: true,
                verifyDigest: true,
                mutateDigest: false,
                attestations: rule.said.map(({ predicateType, by }) => ({
                  name: label(
                    predicateName(predicateType),
                    by.map(({ name }) => name),
                  ),
                  type: predicateType,
                  attestors: [{ count: 1, entries: by.map(entry) }],
                })),
              },
            ],
          },
        ],
      },
    }),
  );
  const known = rules.flatMap(({ images }) => images).map((pattern) => `${wildcard(pattern)}@sha256:*`);
  return { weaker, objects: [namespaceObject(namespace, {}), ...policies, others(known, match)] };
}

function entry(one: Trusted): object {
  if (one.kind === 'key') {
    // Nothing is asked of a log: a key's signatures need none.
    return { keys: { publicKeys: publicPem(one.key), rekor: { ignoreTlog: true }, ctlog: { ignoreSCT: true } } };
  }
  const { issuer, identity: subject, need } = one;
  return {
    keyless: {
      ...{ issuer, subject },
      ...(need.logEntries > 0 ? {} : { rekor: { ignoreTlog: true, url: 'https://rekor.sigstore.dev' } }),
    },
  };
}

/** What no rule is for is refused, and so is a tag. */
function others(known: readonly string[], match: object): KubernetesObject {
  const image = known.join(' | ');
  const containers = [{ image }];
  return {
    apiVersion: 'kyverno.io/v1',
    kind: 'ClusterPolicy',
    metadata: { name: 'mcp-build-others' },
    spec: {
      validationFailureAction: 'Enforce',
      failurePolicy: 'Fail',
      background: false,
      rules: [
        {
          name: 'no-rule',
          match,
          validate: {
            message: 'No rule of the policy is for this image, or it is not named by its digest.',
            pattern: { spec: { containers, '=(initContainers)': containers, '=(ephemeralContainers)': containers } },
          },
        },
      ],
    },
  };
}

/** With what follows a name, since a reference is compared as a whole. */
function references(pattern: string): readonly string[] {
  const plain = wildcard(pattern);
  return plain.endsWith('*') ? [plain] : [`${plain}@*`, `${plain}:*`, plain];
}

function wildcard(pattern: string): string {
  return pattern.replaceAll('**', '*');
}
