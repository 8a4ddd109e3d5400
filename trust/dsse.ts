import { sign, verify } from 'node:crypto';
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

export function envelopeVerifies(envelope: Envelope, { kind, key }: PublicKey): boolean {
  try {
    const bytes = preAuthEncoding(envelope.payloadType, envelope.payload);
    return verify(kind === 'ed25519' ? null : 'sha256', bytes, key, envelope.signature);
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
