import { createPublicKey, verify } from 'node:crypto';
import { z } from 'zod';
import type { Provenance } from './provenance.ts';

/** npm's keys: `GET /-/npm/v1/keys`. */
const schema = z.object({
  keys: z
    .array(
      z.object({
        keyid: z.string().max(1000),
        keytype: z.string().max(100),
        scheme: z.string().max(100),
        key: z.base64().max(10_000),
        expires: z.string().max(100).nullable(),
      }),
    )
    .max(100),
});

export interface SignedVersion {
  readonly name: string;
  readonly version: string;
  readonly integrity: string;
  /** When the registry received it; without it an expired key could not be told from a good one. */
  readonly uploaded: string | undefined;
  readonly signatures: readonly { readonly keyid: string; readonly sig: string }[];
}

/**
 * A registry's signature over `name@version:integrity`. A registry without keys signs
 * nothing; one with keys signs everything, so that a version without a signature did not come through it.
 * @param document what the registry answered for its keys; undefined where it has none
 */
export function registrySignature(said: SignedVersion, document: unknown): Provenance['signature'] {
  if (document === undefined) return { state: 'unsupported' };
  const parsed = schema.safeParse(document);
  if (!parsed.success) return { state: 'invalid', reason: 'the registry’s keys can’t be read' };
  if (parsed.data.keys.length === 0) return { state: 'unsupported' };
  const [first, ...others] = said.signatures;
  if (!first) return { state: 'absent' };
  for (const { keyid, sig } of [first, ...others]) {
    const key = parsed.data.keys.find((one) => one.keyid === keyid);
    if (!key) return { state: 'invalid', reason: 'its key is not among the registry’s' };
    if (key.scheme !== 'ecdsa-sha2-nistp256')
      return { state: 'invalid', reason: `its key has the scheme ${key.scheme}` };
    if (key.expires !== null) {
      const received = Date.parse(said.uploaded ?? '');
      if (Number.isNaN(received))
        return { state: 'invalid', reason: 'its key has expired, and nobody says when it was signed' };
      if (!(received < Date.parse(key.expires)))
        return { state: 'invalid', reason: `its key expired on ${key.expires}` };
    }
    if (!verifies(key.key, `${said.name}@${said.version}:${said.integrity}`, sig)) {
      return { state: 'invalid', reason: 'it is over something else' };
    }
  }
  return { state: 'valid' };
}

function verifies(key: string, text: string, signature: string): boolean {
  try {
    const publicKey = createPublicKey({ key: Buffer.from(key, 'base64'), format: 'der', type: 'spki' });
    return verify('sha256', Buffer.from(text), publicKey, Buffer.from(signature, 'base64'));
  } catch {
    return false;
  }
}
