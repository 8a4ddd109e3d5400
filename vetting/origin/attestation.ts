import { z } from 'zod';
import { parseIntegrity } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { type AttestedOrigin, originOf, parseBundle, type TrustedRoot } from '../../trust/index.ts';
import type { Origin, Provenance } from './provenance.ts';

type Attestation = Provenance['attestation'];

const SLSA = ['https://slsa.dev/provenance/v1', 'https://slsa.dev/provenance/v0.2'];
/** PEP 740's own, and SLSA's. */
const PUBLISHED = ['https://docs.pypi.org/attestations/publish/v1', ...SLSA];

const npmSchema = z.object({
  attestations: z.array(z.object({ predicateType: z.string().max(1000), bundle: z.looseObject({}) })).max(20),
});

/**
 * npm's attestations of one version: SLSA provenance by a certificate, about exactly this name, version and hash.
 * @param document what the registry answered, unread. Source: https://github.com/npm/attestation
 */
export function npmAttested(
  document: unknown,
  about: { readonly name: string; readonly version: string; readonly integrity: string },
  root: TrustedRoot,
): Attestation {
  const parsed = npmSchema.safeParse(document);
  if (!parsed.success) return { state: 'invalid', reason: 'the registry’s answer holds no attestations' };
  const provenance = parsed.data.attestations.filter(({ predicateType }) => SLSA.includes(predicateType));
  if (provenance.length === 0) return { state: 'absent' };
  const { algorithm, hex } = parseIntegrity(about.integrity);
  const purl = `pkg:npm/${about.name.replace('@', '%40')}@${about.version}`;
  return firstOf(
    provenance.map(({ bundle }) => bundle),
    root,
    ({ statement }) => {
      const [subject, ...others] = statement.subject;
      if (!SLSA.includes(statement.predicateType)) return `it is a statement of ${statement.predicateType}`;
      if (!subject || others.length > 0) return 'it has several subjects';
      if (subject.name !== purl) return `it names ${subject.name ?? 'nothing'}`;
      return subject.digest[algorithm] === hex
        ? undefined
        : `it is about other bytes (${algorithm} ${subject.digest[algorithm] ?? 'absent'})`;
    },
  );
}

const pypiSchema = z.object({
  version: z.literal(1),
  attestation_bundles: z
    .array(
      z.object({
        attestations: z
          .array(
            z.object({
              version: z.literal(1),
              verification_material: z.object({
                certificate: z.string().max(100_000),
                transparency_entries: z.array(z.looseObject({})).min(1).max(16),
              }),
              envelope: z.object({ statement: z.string().max(10_000_000), signature: z.string().max(100_000) }),
            }),
          )
          .max(20),
      }),
    )
    .max(20),
});

/** PEP 740 provenance of one file: an attestation by a certificate, about exactly this file and hash. @param document as the index answered */
export function wheelAttested(
  document: unknown,
  about: { readonly file: string; readonly integrity: string },
  root: TrustedRoot,
): Attestation {
  const parsed = pypiSchema.safeParse(document);
  if (!parsed.success) return { state: 'invalid', reason: 'the index’s answer holds no provenance' };
  const bundles = parsed.data.attestation_bundles.flatMap(({ attestations }) => attestations.map(bundleOf));
  if (bundles.length === 0) return { state: 'absent' };
  const { algorithm, hex } = parseIntegrity(about.integrity);
  return firstOf(bundles, root, ({ statement }) => {
    const [subject, ...others] = statement.subject;
    if (!PUBLISHED.includes(statement.predicateType)) return `it is a statement of ${statement.predicateType}`;
    if (!subject || others.length > 0) return 'it has several subjects';
    if (subject.name !== about.file) return `it names ${subject.name ?? 'nothing'}`;
    return subject.digest[algorithm] === hex
      ? undefined
      : `it is about other bytes (${algorithm} ${subject.digest[algorithm] ?? 'absent'})`;
  });
}

/** PEP 740's form of an attestation as the bundle that it is made of. */
function bundleOf(said: z.infer<typeof pypiSchema>['attestation_bundles'][number]['attestations'][number]): object {
  return {
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    verificationMaterial: {
      certificate: { rawBytes: said.verification_material.certificate },
      tlogEntries: said.verification_material.transparency_entries,
    },
    dsseEnvelope: {
      payload: said.envelope.statement,
      payloadType: 'application/vnd.in-toto+json',
      signatures: [{ sig: said.envelope.signature }],
    },
  };
}

/** Every one must verify and be about the package: one good attestation must not cover a bad one. All must name one origin. */
function firstOf(
  bundles: readonly object[],
  root: TrustedRoot,
  mismatch: (attested: AttestedOrigin) => string | undefined,
): Attestation {
  let origin: Origin | undefined;
  for (const bundle of bundles) {
    const attested = verified(bundle, root);
    if (typeof attested === 'string') return { state: 'invalid', reason: attested };
    const other = mismatch(attested);
    if (other !== undefined) return { state: 'other-subject', reason: other };
    const { issuer, repository, workflow } = attested;
    if (origin && (origin.issuer !== issuer || origin.repository !== repository)) {
      return { state: 'invalid', reason: 'its attestations are from different repositories' };
    }
    origin = { issuer, repository, ...(workflow === undefined ? {} : { workflow }) };
  }
  return origin ? { state: 'attested', origin } : { state: 'absent' };
}

function verified(bundle: object, root: TrustedRoot): AttestedOrigin | string {
  try {
    return originOf(parseBundle(Buffer.from(JSON.stringify(bundle)), 'attestation'), root);
  } catch (error) {
    if (error instanceof McpBuildError) return error.message;
    throw error;
  }
}
