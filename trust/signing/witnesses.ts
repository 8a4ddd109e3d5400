import { createHash, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import type { KeyMaterial, Testimony } from '../bundle.ts';
import { type Envelope, preAuthEncoding } from '../dsse.ts';
import type { PublicKey } from '../keys.ts';
import type { Witness } from '../signer.ts';
import type { Service, SigningServices } from './config.ts';
import { failed, post } from './post.ts';

/** Every log and timestamp authority of a signing configuration. @param key the signer's, where it is not a certificate's */
export function witnessesOf(
  services: Pick<SigningServices, 'logs' | 'timestampAuthorities'>,
  key?: PublicKey,
): readonly Witness[] {
  return [
    ...services.logs.map((log) => (log.version === 1 ? rekor1(log, key) : rekor2(log, key))),
    ...services.timestampAuthorities.map(timestampAuthority),
  ];
}

const entrySchema = z.looseObject({
  logId: z.looseObject({ keyId: z.base64() }),
  kindVersion: z.looseObject({ kind: z.string(), version: z.string() }),
  canonicalizedBody: z.base64(),
  inclusionProof: z.looseObject({ checkpoint: z.looseObject({ envelope: z.string() }) }),
});

/**
 * Rekor v2 takes a DSSE signature as a hashedrekord over the SHA-256 of what was signed. It gives no time: a timestamp authority must.
 * https://github.com/sigstore/rekor-tiles/blob/main/CLIENTS.md
 */
function rekor2({ url }: Service, key: PublicKey | undefined): Witness {
  return {
    testify: async ({ payloadType, payload, signature }, material) => {
      const digest = createHash('sha256').update(preAuthEncoding(payloadType, payload)).digest('base64');
      const verifier = verifierOf(url, material, key);
      const content = Buffer.from(signature).toString('base64');
      const answer = await post(`${url}/api/v2/log/entries`, {
        hashedRekordRequestV002: { digest, signature: { content, verifier } },
      });
      return { tlogEntries: [parsed(entrySchema, answer, url)] };
    },
  };
}

function verifierOf(url: string, material: KeyMaterial, key: PublicKey | undefined): object {
  // The ephemeral key of a keyless signature is of the same kind.
  const keyDetails = 'PKIX_ECDSA_P256_SHA_256';
  if (material.kind === 'certificate') {
    return { x509Certificate: { rawBytes: material.der.toString('base64') }, keyDetails };
  }
  if (key?.kind !== 'ecdsa-p256') throw failed(url, 'takes signatures of EC P-256 keys only');
  const rawBytes = key.key.export({ type: 'spki', format: 'der' }).toString('base64');
  return { publicKey: { rawBytes }, keyDetails };
}

const rekor1Schema = z.record(
  z.string(),
  z.looseObject({
    body: z.base64(),
    integratedTime: z.int(),
    logID: z.hex(),
    logIndex: z.int(),
    verification: z.looseObject({
      signedEntryTimestamp: z.base64(),
      inclusionProof: z.looseObject({
        checkpoint: z.string(),
        hashes: z.array(z.hex()).max(100),
        logIndex: z.int(),
        rootHash: z.hex(),
        treeSize: z.int(),
      }),
    }),
  }),
);

/** Rekor v1 takes the whole envelope, and promises a time. */
function rekor1({ url }: Service, key: PublicKey | undefined): Witness {
  return {
    testify: async (envelope, material) => {
      const verifier = material.kind === 'certificate' ? new X509Certificate(material.der).toString() : pemOf(url, key);
      const proposed = { envelope: dsseJson(envelope), verifiers: [Buffer.from(verifier).toString('base64')] };
      const answer = await post(`${url}/api/v1/log/entries`, {
        apiVersion: '0.0.1',
        kind: 'dsse',
        spec: { proposedContent: proposed },
      });
      const [entry, second] = Object.values(parsed(rekor1Schema, answer, url));
      if (!entry || second) throw failed(url, 'answered with other than one entry');
      const { verification: proof } = entry;
      const base64 = (hex: string) => Buffer.from(hex, 'hex').toString('base64');
      const entryText = {
        logIndex: String(entry.logIndex),
        logId: { keyId: base64(entry.logID) },
        kindVersion: { kind: 'dsse', version: '0.0.1' },
        integratedTime: String(entry.integratedTime),
        inclusionPromise: { signedEntryTimestamp: proof.signedEntryTimestamp },
        inclusionProof: {
          logIndex: String(proof.inclusionProof.logIndex),
          rootHash: base64(proof.inclusionProof.rootHash),
          treeSize: String(proof.inclusionProof.treeSize),
          hashes: proof.inclusionProof.hashes.map(base64),
          checkpoint: { envelope: proof.inclusionProof.checkpoint },
        },
        canonicalizedBody: entry.body,
      };
      return { tlogEntries: [entryText] };
    },
  };
}

function pemOf(url: string, key: PublicKey | undefined): string {
  if (!key) throw failed(url, 'needs the public key of the signer');
  return key.key.export({ type: 'spki', format: 'pem' }).toString();
}

function dsseJson({ payload, payloadType, signature }: Envelope): string {
  const sig = Buffer.from(signature).toString('base64');
  return JSON.stringify({ payload: payload.toString('base64'), payloadType, signatures: [{ sig }] });
}

/** RFC 3161, by the JSON form of Sigstore's timestamp authority. */
function timestampAuthority({ url }: Service): Witness {
  // A signing configuration has the whole path, a person writes the host.
  const endpoint = new URL(url).pathname === '/' ? `${url}/api/v1/timestamp` : url;
  return {
    testify: async ({ signature }): Promise<Testimony> => {
      const artifactHash = createHash('sha256').update(signature).digest('base64');
      const accept = 'application/timestamp-reply';
      const answer = await post(endpoint, { artifactHash, hashAlgorithm: 'sha256' }, accept);
      return { timestamps: [answer] };
    },
  };
}

function parsed<T>(schema: z.ZodType<T>, answer: Buffer, url: string): T {
  let json: unknown;
  try {
    json = JSON.parse(answer.toString('utf8'));
  } catch {
    throw failed(url, 'answered with something else than JSON');
  }
  const result = schema.safeParse(json);
  if (!result.success) throw failed(url, `answered in an unknown form: ${result.error.issues[0]?.path.join('.')}`);
  return result.data;
}
