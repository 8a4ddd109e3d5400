import { formatBundle, type KeyMaterial, type Testimony } from './bundle.ts';
import { type Envelope, IN_TOTO, preAuthEncoding, signBytes } from './dsse.ts';
import type { PrivateKey, PublicKey } from './keys.ts';
import type { Statement } from './statement.ts';

export interface Signature {
  readonly signature: Uint8Array;
  readonly material: KeyMaterial;
}

/** Who signs: a key file, an exec plugin, Fulcio, or any implementation of this. */
export interface Signer {
  /** For people: which key or identity it is. Never a secret. */
  readonly name: string;
  /** Where the signer is a key: what its signatures verify with. */
  readonly key?: PublicKey;
  /** Signs the bytes as they are (not a digest of them). */
  sign(bytes: Uint8Array): Promise<Signature>;
  /** Those who then testify to the signature: transparency logs, timestamp authorities. */
  readonly witnesses?: readonly Witness[];
}

export interface Witness {
  testify(envelope: Envelope, material: KeyMaterial): Promise<Testimony>;
}

export function keySigner(key: PrivateKey, name = key.id): Signer {
  return {
    name,
    key,
    sign: async (bytes) => ({ signature: signBytes(bytes, key), material: { kind: 'key', hint: key.id } }),
  };
}

/** Signs a statement: the bytes of a Sigstore bundle v0.3. @throws what the signer and its witnesses throw */
export async function seal(said: Statement, signer: Signer): Promise<Buffer> {
  const payload = Buffer.from(JSON.stringify(said));
  const { signature, material } = await signer.sign(preAuthEncoding(IN_TOTO, payload));
  const envelope: Envelope = { payloadType: IN_TOTO, payload, signature: Buffer.from(signature) };
  const testimony = await Promise.all((signer.witnesses ?? []).map((one) => one.testify(envelope, material)));
  return formatBundle(envelope, material, testimony);
}
