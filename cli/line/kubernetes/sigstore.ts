import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { predicateName, type TrustedIdentity } from '../../../trust/index.ts';
import type { AdmissionRule } from './admission.ts';
import type { KubernetesObject } from './types.ts';

/** Of sigstore-go's public-good root, which policy-controller follows by itself. */
const PUBLIC_GOOD = 'public-good';
const FULCIO = 'https://fulcio.sigstore.dev';

/**
 * ClusterImagePolicies of Sigstore's policy-controller (read in 0.13.1): every one that matches an image must be satisfied, by any of its authorities. It reads
 * bundles as referrers for certificates only (pkg/webhook/validator.go, checkOptsFromAuthority), so a key is no authority there.
 */
export function sigstoreObjects(rules: readonly AdmissionRule[], namespace: string) {
  const weaker: string[] = [];
  const roots: { readonly name: string; readonly json: unknown }[] = [];
  const objects = rules.flatMap((rule) =>
    rule.said.flatMap(({ predicateType, by }): KubernetesObject[] => {
      const identities = by.filter((one) => one.kind === 'identity');
      for (const { kind, name } of by)
        if (kind === 'key')
          weaker.push(`${rule.name}: the key ${name}, since it reads bundles signed with certificates only`);
      // Nobody left: a policy without an authority would let everything in.
      if (identities.length === 0) return [];
      return [
        {
          apiVersion: 'policy.sigstore.dev/v1beta1',
          kind: 'ClusterImagePolicy',
          metadata: {
            name: label(
              `${rule.name} ${predicateName(predicateType)}`,
              identities.map(({ name }) => name),
            ),
          },
          spec: {
            mode: 'enforce',
            images: rule.images.flatMap(globs).map((glob) => ({ glob })),
            authorities: identities.map((one) => authority(one, predicateType, roots)),
          },
        },
      ];
    }),
  );
  for (const { name } of roots)
    weaker.push(`${name}: an authority of a root of your own counts at any time, not only while it is said to`);
  return {
    weaker,
    objects: [
      namespaceObject(namespace, { 'policy.sigstore.dev/include': 'true' }),
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'config-policy-controller', namespace: 'cosign-system' },
        // What no rule is for is refused.
        data: { 'no-match-policy': 'deny' },
      },
      ...roots.map(({ name, json }) => trustRoot(name, json)),
      ...objects,
    ],
  };
}

function authority(one: TrustedIdentity, predicateType: string, roots: { name: string; json: unknown }[]): object {
  const trustRoot = rootName(one, roots);
  const reference = trustRoot === undefined ? {} : { trustRootRef: trustRoot };
  return {
    name: label(one.name, []),
    signatureFormat: 'bundle',
    keyless: { url: FULCIO, ...reference, identities: [{ issuer: one.issuer, subject: one.identity }] },
    ...(one.need.logEntries > 0 ? { ctlog: { url: 'https://rekor.sigstore.dev', ...reference } } : {}),
    ...(one.need.logEntries === 0 ? { rfc3161timestamp: reference } : {}),
    attestations: [{ name: label(predicateName(predicateType), []), predicateType }],
  };
}

function rootName({ root }: TrustedIdentity, roots: { name: string; json: unknown }[]): string | undefined {
  if (root.name === PUBLIC_GOOD) return undefined;
  const known = roots.find(({ json }) => isDeepStrictEqual(json, root.json));
  if (known) return known.name;
  const name = `mcp-build-${roots.length + 1}`;
  roots.push({ name, json: root.json });
  return name;
}

/**
 * The authorities of a trusted_root.json as policy-controller spells them: chains and keys in PEM, in base64. It has no words for the times within which an
 * authority counts. The document was read by trust/ before.
 */
function trustRoot(name: string, json: unknown): KubernetesObject {
  const root = trustedRoot.parse(json);
  const authorities = (list: (typeof root)['certificateAuthorities']) =>
    list.map(({ subject, uri, certChain }) => ({
      subject: { organization: subject.organization, commonName: subject.commonName },
      uri,
      certChain: base64(certChain.certificates.map(({ rawBytes }) => pem('CERTIFICATE', rawBytes)).join('')),
    }));
  const logs = (list: (typeof root)['tlogs']) =>
    list.map(({ baseUrl, publicKey }) => ({
      baseURL: baseUrl,
      hashAlgorithm: 'sha-256',
      publicKey: base64(pem('PUBLIC KEY', publicKey.rawBytes)),
    }));
  return {
    apiVersion: 'policy.sigstore.dev/v1alpha1',
    kind: 'TrustRoot',
    metadata: { name },
    spec: {
      sigstoreKeys: {
        certificateAuthorities: authorities(root.certificateAuthorities),
        tLogs: logs(root.tlogs),
        ctLogs: logs(root.ctlogs),
        timestampAuthorities: authorities(root.timestampAuthorities),
      },
    },
  };
}

const authoritySchema = z.object({
  subject: z
    .object({ organization: z.string().default(''), commonName: z.string().default('') })
    .default({ organization: '', commonName: '' }),
  uri: z.string().default(''),
  certChain: z.object({ certificates: z.array(z.object({ rawBytes: z.string() })) }),
});
const log = z.object({ baseUrl: z.string().default(''), publicKey: z.object({ rawBytes: z.string() }) });
const trustedRoot = z.object({
  certificateAuthorities: z.array(authoritySchema).default([]),
  timestampAuthorities: z.array(authoritySchema).default([]),
  tlogs: z.array(log).default([]),
  ctlogs: z.array(log).default([]),
});

function pem(what: string, der: string): string {
  return `-----BEGIN ${what}-----\n${(der.match(/.{1,64}/g) ?? []).join('\n')}\n-----END ${what}-----\n`;
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

/** A glob is compared with the whole reference, its tag and digest included. */
function globs(pattern: string): readonly string[] {
  return pattern.endsWith('*') ? [pattern] : [`${pattern}@*`, `${pattern}:*`];
}

export function namespaceObject(name: string, labels: Readonly<Record<string, string>>): KubernetesObject {
  return {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: { 'pod-security.kubernetes.io/enforce': 'restricted', ...labels } },
  };
}

/** A name of an object, made of words that people wrote. */
export function label(text: string, more: readonly string[]): string {
  const plain = [text, ...more]
    .join(' ')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-');
  return (
    plain
      .replace(/^-+|-+$/g, '')
      .slice(0, 63)
      .replace(/-+$/, '') || 'rule'
  );
}
