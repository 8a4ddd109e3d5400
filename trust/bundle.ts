import { z } from 'zod';
import { McpBuildError } from '../errors/index.ts';
import type { Envelope } from './dsse.ts';

export const BUNDLE_TYPE = 'application/vnd.dev.sigstore.bundle.v0.3+json';

/** In bytes. An SBOM of a thousand packages is about one megabyte in a bundle. */
export const BUNDLE_LIMIT = 16 * 1024 * 1024;

/**
 * Whose signature it claims to be. The two are never interchangeable: a certificate proves an identity to who trusts its issuer,
 * and nothing to who asked for a key.
 */
export type KeyMaterial =
  | { readonly kind: 'key'; readonly hint: string }
  | { readonly kind: 'certificate'; readonly der: Buffer };

/** A Sigstore bundle around a DSSE envelope: read, bounded, and not verified. */
export interface Bundle {
  readonly material: KeyMaterial;
  readonly envelope: Envelope;
  /** How many log entries and timestamps it holds; none of them looked at. */
  readonly entries: number;
  readonly timestamps: number;
  /** The whole document, for the Sigstore library. */
  readonly json: object;
}

/** One log entry or timestamp, as the bundle's JSON has them. */
export interface Testimony {
  readonly tlogEntries?: readonly object[];
  readonly timestamps?: readonly Uint8Array[];
}

const base64 = z.base64().max(BUNDLE_LIMIT);
const certificate = z.strictObject({ rawBytes: base64.min(4) });
const MEDIA_TYPES = [
  BUNDLE_TYPE,
  'application/vnd.dev.sigstore.bundle+json;version=0.3',
  'application/vnd.dev.sigstore.bundle+json;version=0.2',
  'application/vnd.dev.sigstore.bundle+json;version=0.1',
] as const;

const schema = z.strictObject({
  mediaType: z.enum(MEDIA_TYPES),
  verificationMaterial: z
    .strictObject({
      publicKey: z.strictObject({ hint: z.string().max(1000).default('') }).optional(),
      certificate: certificate.optional(),
      x509CertificateChain: z.strictObject({ certificates: z.array(certificate).min(1).max(10) }).optional(),
      // Only the library reads these, and only of bundles with a certificate.
      tlogEntries: z.array(z.looseObject({})).max(16).nullish(),
      timestampVerificationData: z
        .looseObject({
          rfc3161Timestamps: z
            .array(z.looseObject({ signedTimestamp: base64 }))
            .max(16)
            .nullish(),
        })
        .nullish(),
    })
    .refine((m) => [m.publicKey, m.certificate, m.x509CertificateChain].filter((one) => one).length === 1, {
      message: 'has not exactly one of a public key and a certificate',
    }),
  dsseEnvelope: z.strictObject({
    payload: base64,
    payloadType: z.string().max(1000),
    signatures: z.array(z.strictObject({ sig: base64.min(4), keyid: z.string().max(1000).nullish() })).length(1),
  }),
});

/**
 * Reads a bundle; nothing in it is believed yet.
 * @param name what the bundle is called in errors
 * @throws McpBuildError `bundle-invalid`. Source: sigstore protobuf-specs, sigstore_bundle.proto
 */
export function parseBundle(bytes: Uint8Array, name: string): Bundle {
  if (bytes.length > BUNDLE_LIMIT) throw invalid(name, `has ${bytes.length} bytes, more than ${BUNDLE_LIMIT}`);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw invalid(name, 'is not JSON');
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw invalid(name, `at ${issue?.path.join('.') || 'its root'}: ${issue?.message ?? 'does not fit the schema'}`);
  }
  const { verificationMaterial: material, dsseEnvelope: envelope } = parsed.data;
  const leaf = material.certificate ?? material.x509CertificateChain?.certificates[0];
  return {
    material: leaf
      ? { kind: 'certificate', der: Buffer.from(leaf.rawBytes, 'base64') }
      : { kind: 'key', hint: material.publicKey?.hint ?? '' },
    envelope: {
      payloadType: envelope.payloadType,
      payload: Buffer.from(envelope.payload, 'base64'),
      signature: Buffer.from(envelope.signatures[0]!.sig, 'base64'),
    },
    entries: material.tlogEntries?.length ?? 0,
    timestamps: material.timestampVerificationData?.rfc3161Timestamps?.length ?? 0,
    json: json as object,
  };
}

/** The bundle's bytes, v0.3. The signature's `keyid` stays out: cosign takes none but the hint beside it. */
export function formatBundle(envelope: Envelope, material: KeyMaterial, testimony: readonly Testimony[]): Buffer {
  const entries = testimony.flatMap((one) => one.tlogEntries ?? []);
  const timestamps = testimony.flatMap((one) => one.timestamps ?? []);
  const encode = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');
  const whose =
    material.kind === 'key'
      ? { publicKey: { hint: material.hint } }
      : { certificate: { rawBytes: encode(material.der) } };
  return Buffer.from(
    JSON.stringify({
      mediaType: BUNDLE_TYPE,
      verificationMaterial: {
        ...whose,
        ...(entries.length ? { tlogEntries: entries } : {}),
        ...(timestamps.length
          ? {
              timestampVerificationData: {
                rfc3161Timestamps: timestamps.map((bytes) => ({ signedTimestamp: encode(bytes) })),
              },
            }
          : {}),
      },
      dsseEnvelope: {
        payload: encode(envelope.payload),
        payloadType: envelope.payloadType,
        signatures: [{ sig: encode(envelope.signature) }],
      },
    }),
  );
}

function invalid(input: string, reason: string): McpBuildError {
  return new McpBuildError({
    code: 'bundle-invalid',
    message: `Bundle ${input} ${reason}`,
    input,
    fix: 'Sign again with `mcp-build sign`, or remove what is attached to the image.',
    exit: 3,
  });
}
