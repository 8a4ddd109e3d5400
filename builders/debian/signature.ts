import type { CleartextMessage, Key } from 'openpgp';
import { McpBuildError } from '../../errors/index.ts';

/**
 * The text of a clear-signed message that one of the given keys signed. Only this text was signed: what stands before or after it in
 * the file is the mirror's.
 *
 * Signatures by other keys are passed over, as an archive signs with its older and newer keys too. A key that is expired or revoked now
 * signs nothing, even what it signed before: whoever holds an old key can write any date.
 * @param keys armoured public keys
 * @throws McpBuildError `index-signature`
 */
export async function verifyClearSigned(
  bytes: Uint8Array,
  keys: readonly string[],
  options: { readonly name: string; readonly now: Date },
): Promise<string> {
  const { name, now } = options;
  const openpgp = await import('openpgp');
  let message: CleartextMessage;
  try {
    message = await openpgp.readCleartextMessage({ cleartextMessage: Buffer.from(bytes).toString('utf8') });
  } catch (cause) {
    throw refused(name, 'is no clear-signed message', cause);
  }
  const trusted: Key[] = [];
  for (const armoredKey of keys) trusted.push(await openpgp.readKey({ armoredKey }));
  const { data, signatures } = await openpgp.verify({ message, verificationKeys: trusted, date: now });
  const reasons: string[] = [];
  for (const { keyID, verified } of signatures) {
    try {
      await verified;
      await Promise.any(trusted.map((key) => key.getSigningKey(keyID, now)));
      return data;
    } catch (error) {
      const reason = error instanceof AggregateError ? 'its key is expired or revoked' : (error as Error).message;
      reasons.push(`${keyID.toHex()}: ${reason}`);
    }
  }
  throw refused(name, `has no valid signature by a trusted key (${reasons.join('; ') || 'it has none at all'})`);
}

function refused(input: string, reason: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'index-signature',
    message: `${input} ${reason}`,
    input,
    fix: "Check the mirror, and that images/keys holds the archive's current keys. Nothing of it was used.",
    ...(cause === undefined ? {} : { cause }),
  });
}
