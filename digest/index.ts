import { createHash, type Hash } from 'node:crypto';
import { McpBuildError } from '../errors/index.ts';

/** An OCI digest. Only SHA-256 is written; nothing weaker is ever read. */
export type Digest = `sha256:${string}`;

/** Subresource integrity with one strong hash: `sha512-<base64>` (npm) or `sha256-<base64>` (wheels and debs). */
export type Integrity = `sha512-${string}` | `sha256-${string}`;

const DIGEST = /^sha256:[0-9a-f]{64}$/;

export function isDigest(text: string): text is Digest {
  return DIGEST.test(text);
}

/** @throws McpBuildError `digest-invalid` */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new McpBuildError({
    code: 'digest-invalid',
    message: `"${text}" is not a digest`,
    input: text,
    fix: 'Write it as sha256: followed by 64 lower-case hexadecimal digits.',
    exit: 2,
  });
}

export function sha256(bytes: Uint8Array | string): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

export function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

export function integrityFromHex(algorithm: 'sha256' | 'sha512', hex: string): Integrity {
  return `${algorithm}-${Buffer.from(hex, 'hex').toString('base64')}` as Integrity;
}

/** The algorithm and lower-case hex of an integrity. @throws McpBuildError `integrity-invalid` for anything but one whole SHA-256 or SHA-512. */
export function parseIntegrity(text: string): { algorithm: 'sha256' | 'sha512'; hex: string } {
  const match = /^(sha256|sha512)-([A-Za-z0-9+/]+={0,2})$/.exec(text);
  const bytes = match ? Buffer.from(match[2] ?? '', 'base64') : Buffer.alloc(0);
  const algorithm = match?.[1] === 'sha512' ? 'sha512' : 'sha256';
  if (!match || bytes.length !== (algorithm === 'sha512' ? 64 : 32) || bytes.toString('base64') !== match[2]) {
    throw new McpBuildError({
      code: 'integrity-invalid',
      message: `"${text}" is not one SHA-256 or SHA-512 integrity`,
      input: text,
      fix: 'Take the hash from the registry again with `mcp-build lock`.',
    });
  }
  return { algorithm, hex: bytes.toString('hex') };
}

export function isIntegrity(text: string): text is Integrity {
  try {
    parseIntegrity(text);
    return true;
  } catch {
    return false;
  }
}

export interface Expected {
  /** What the bytes are called in an error. */
  readonly name: string;
  readonly integrity: Integrity | Digest;
  /** In bytes, where known: a longer stream is cut off as soon as it is longer. */
  readonly size?: number;
  /** Ceiling in bytes where the size isn't known. */
  readonly limit?: number;
  /** What to do when they differ, where it isn't a locked file that does. */
  readonly fix?: string;
}

/**
 * Passes bytes through and throws `integrity` before the last chunk is given out when they are not the expected ones.
 * One chunk is held back for that, so a consumer that sees the end has seen only verified bytes.
 */
export async function* verified(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  expected: Expected,
): AsyncGenerator<Uint8Array> {
  let held: Uint8Array | undefined;
  for await (const chunk of checked(chunks, expected)) {
    if (held) yield held;
    held = chunk;
  }
  if (held) yield held;
}

/**
 * As `verified`, but holds nothing back: each chunk has been given out before the next is asked for. Bytes of a known size are compared
 * before the last of them is given out; whatever else is wrong (more follows, or the size isn't known) is thrown after the last chunk.
 */
export async function* checked(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  expected: Expected,
): AsyncGenerator<Uint8Array> {
  const wanted = expected.integrity.startsWith('sha256:')
    ? { algorithm: 'sha256' as const, hex: expected.integrity.slice(7) }
    : parseIntegrity(expected.integrity);
  const hash: Hash = createHash(wanted.algorithm);
  const ceiling = expected.size ?? expected.limit ?? Number.POSITIVE_INFINITY;
  let seen = 0;
  const compare = () => {
    const found = hash.digest('hex');
    if (found !== wanted.hex) throw mismatch(expected, `has ${wanted.algorithm} ${found} instead of ${wanted.hex}`);
  };
  for await (const chunk of chunks) {
    if (chunk.length === 0) continue;
    seen += chunk.length;
    if (seen > ceiling) throw mismatch(expected, `is longer than ${ceiling} bytes`);
    hash.update(chunk);
    if (seen === expected.size) compare();
    yield chunk;
  }
  if (expected.size !== undefined && seen !== expected.size) {
    throw mismatch(expected, `has ${seen} bytes instead of ${expected.size}`);
  }
  if (seen > 0 && seen === expected.size) return;
  compare();
}

function mismatch(expected: Expected, what: string): McpBuildError {
  return new McpBuildError({
    code: 'integrity',
    message: `${expected.name} ${what}`,
    input: expected.name,
    fix:
      expected.fix ??
      'The bytes are not the locked ones: nothing was built from them. Check the registry or mirror, then try again.',
  });
}
