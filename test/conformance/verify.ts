import { execFileSync } from 'node:child_process';
import type { KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Digest, hexOf, isDigest, sha256 } from '../../digest/index.ts';
import { parsePublicKey } from '../../trust/index.ts';
import { publicGoodRoot } from '../../trust/root.ts';
import { parseTrustedRoot, verifyCertificate, verifyLogged } from '../../trust/sigstore.ts';
import { isAbout, readStatement } from '../../trust/statement.ts';

export interface Question {
  readonly bundle: Uint8Array;
  /** A path or `sha256:…`. */
  readonly artifact: string;
  readonly identity: string | undefined;
  readonly issuer: string | undefined;
  /** PEM. */
  readonly key: string | undefined;
  /** `trusted_root.json`. */
  readonly root: string | undefined;
}

/** Why a bundle doesn't verify; undefined when it does. */
export async function verifyFile(asked: Question): Promise<string | undefined> {
  const json = JSON.parse(Buffer.from(asked.bundle).toString('utf8')) as {
    dsseEnvelope?: { payloadType?: string; payload?: string };
  };
  const bytes = isDigest(asked.artifact) ? undefined : await readFile(asked.artifact);
  const digest = bytes === undefined ? (asked.artifact as Digest) : sha256(bytes);
  const hash = Buffer.from(hexOf(digest), 'hex');
  const artifact = json.dsseEnvelope ? undefined : (bytes ?? { digest: hash, verifies: prehashed(hash) });
  const root = asked.root === undefined ? publicGoodRoot() : parseTrustedRoot(asked.root, 'trusted root');
  const need = { logEntries: 1, certificateLogs: 1, timestamps: 1 };
  if (asked.key !== undefined) {
    const key = parsePublicKey(asked.key, 'key');
    const result = verifyLogged(json, key, root, { logEntries: 1, timestamps: 0 }, artifact);
    if (typeof result === 'string') return result;
  } else {
    const result = verifyCertificate(json, root, need, artifact);
    if (typeof result === 'string') return result;
    if (result.subject !== asked.identity || result.issuer !== asked.issuer) {
      return `signed by ${result.subject} of ${result.issuer}`;
    }
  }
  if (!json.dsseEnvelope) return undefined;
  const payload = Buffer.from(json.dsseEnvelope.payload ?? '', 'base64');
  const statement = readStatement(json.dsseEnvelope.payloadType ?? '', payload);
  if (!statement) return 'holds no in-toto statement';
  return isAbout(statement, digest) ? undefined : 'speaks of something else';
}

/** node:crypto verifies messages, not hashes of them; OpenSSL's tool does. */
function prehashed(hash: Buffer) {
  return (key: KeyObject, signature: Buffer): boolean => {
    const folder = mkdtempSync(join(tmpdir(), 'conformance-'));
    try {
      const at = (name: string, data: string | Buffer) => {
        writeFileSync(join(folder, name), data);
        return join(folder, name);
      };
      const pem = at('key.pem', key.export({ type: 'spki', format: 'pem' }));
      const files = ['-inkey', pem, '-sigfile', at('sig', signature), '-in', at('hash', hash)];
      execFileSync('openssl', ['pkeyutl', '-verify', '-pubin', ...files], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    } finally {
      rmSync(folder, { recursive: true });
    }
  };
}
