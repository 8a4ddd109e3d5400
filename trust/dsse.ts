import { sign, verify } from 'node:crypto';
import { verifyEd25519ph } from './key/ed25519ph.ts';
import type { PublicKey } from './keys.ts';

/** https://github.com/secure-systems-lab/dsse/blob/master/envelope.md, with exactly one signature, as Sigstore bundles have it. */
export interface Envelope {
  readonly payloadType: string;
  readonly payload: Buffer;
  readonly signature: Buffer;
}

export const IN_TOTO = 'application/vnd.in-toto+json';

/** The bytes that are signed: DSSE's pre-authentication encoding. */
export function preAuthEncoding(payloadType: string, payload: Uint8Array): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `;
  return Buffer.concat([Buffer.from(head), payload]);
}

export function envelopeVerifies({ payloadType, payload, signature }: Envelope, { kind, key }: PublicKey): boolean {
  try {
    const bytes = preAuthEncoding(payloadType, payload);
    if (kind !== 'ed25519') return verify('sha256', bytes, key, signature);
    if (verify(null, bytes, key, signature)) return true;
    // cosign signs bundles prehashed, and verifies both kinds. The two are kept apart by what is hashed: neither can pass for the other.
    return verifyEd25519ph(bytes, signature, key.export({ type: 'spki', format: 'der' }).subarray(-32));
  } catch {
    return false;
  }
}

/** ECDSA signatures are DER, over SHA-256; Ed25519 is the pure kind. Both are what cosign makes and expects. */
export function signBytes(
  bytes: Uint8Array,
  { kind, private: key }: PublicKey & { private: Parameters<typeof sign>[2] },
): Buffer {
  return sign(kind === 'ed25519' ? null : 'sha256', bytes, key);
}
