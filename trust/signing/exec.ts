import { spawn } from 'node:child_process';
import { createHash, verify } from 'node:crypto';
import { McpBuildError } from '../../errors/index.ts';
import { type PublicKey, parsePublicKey } from '../keys.ts';
import type { Signer } from '../signer.ts';

export interface ExecOptions {
  /** The variables it is given; nothing else is inherited. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** In milliseconds; a minute by default, for a person may have to touch something. */
  readonly timeout?: number;
}

/** In bytes, of what a plugin prints. */
const LIMIT = 64 * 1024;

/**
 * A signer that is a program of the user's, for a key that can't be read: a KMS, an HSM, a token. The protocol is in docs/trust.md:
 * `<argv> public-key` prints a PEM; `<argv> sign` reads the bytes from stdin (their SHA-256 is in `MCP_BUILD_SHA256`) and prints the base64
 * of the signature. What it prints is verified before it is used.
 * @throws McpBuildError `signer-failed`, `signer-invalid`, `key-invalid`, `key-unsupported`
 */
export async function execSigner(argv: readonly string[], options: ExecOptions): Promise<Signer> {
  const [program] = argv;
  if (!program) throw fault('signer-failed', 'exec:', 'names no program');
  const name = `exec:${program}`;
  const printed = await run(argv, 'public-key', Buffer.alloc(0), {}, options);
  const key = parsePublicKey(printed.toString('utf8'), name);
  return {
    name,
    key,
    sign: async (bytes) => {
      const digest = createHash('sha256').update(bytes).digest('hex');
      const answer = await run(argv, 'sign', bytes, { MCP_BUILD_SHA256: digest }, options);
      const signature = signatureOf(answer, bytes, key);
      if (!signature)
        throw fault('signer-invalid', name, 'printed something else than the base64 of a signature by its key');
      return { signature, material: { kind: 'key', hint: key.id } };
    },
  };
}

function signatureOf(answer: Buffer, bytes: Uint8Array, { kind, key }: PublicKey): Buffer | undefined {
  const text = answer.toString('utf8').trim();
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  const signature = Buffer.from(text, 'base64');
  const algorithm = kind === 'ed25519' ? null : 'sha256';
  if (verify(algorithm, bytes, key, signature)) return signature;
  // Some KMS give the two numbers of an ECDSA signature one after the other (IEEE P1363) instead of in DER.
  const isPair = kind === 'ecdsa-p256' && signature.length === 64;
  return isPair && verify(algorithm, bytes, { key, dsaEncoding: 'ieee-p1363' }, signature)
    ? derOf(signature)
    : undefined;
}

function derOf(pair: Buffer): Buffer {
  const integer = (bytes: Buffer) => {
    let start = 0;
    while (start < bytes.length - 1 && bytes[start] === 0) start++;
    const digits = bytes.subarray(start);
    const body = digits[0]! & 0x80 ? Buffer.concat([Buffer.of(0), digits]) : digits;
    return Buffer.concat([Buffer.of(0x02, body.length), body]);
  };
  const body = Buffer.concat([integer(pair.subarray(0, 32)), integer(pair.subarray(32))]);
  return Buffer.concat([Buffer.of(0x30, body.length), body]);
}

function run(
  argv: readonly string[],
  verb: 'public-key' | 'sign',
  input: Uint8Array,
  variables: Readonly<Record<string, string>>,
  { environment, timeout = 60_000 }: ExecOptions,
): Promise<Buffer> {
  const [program = '', ...args] = argv;
  const name = `exec:${program}`;
  return new Promise((resolve, reject) => {
    // No shell. A group of its own, so that what it started goes with it.
    const child = spawn(program, [...args, verb], {
      env: { ...environment, ...variables },
      stdio: 'pipe',
      detached: true,
    });
    const out: Buffer[] = [];
    let size = 0;
    let said = '';
    let ended: string | undefined;
    const end = (why: string) => {
      ended ??= why;
      try {
        process.kill(-child.pid!, 'SIGKILL');
      } catch {
        child.kill('SIGKILL');
      }
    };
    const timer = setTimeout(() => end(`took longer than ${timeout / 1000} s`), timeout);
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > LIMIT) end(`printed more than ${LIMIT} bytes`);
      else out.push(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString('utf8')).slice(-1000);
    });
    // A plugin may sign by digest and never read its input.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(fault('signer-failed', name, `can't be started: ${error.message}`));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (ended) reject(fault('signer-failed', name, ended));
      else if (code === 0) resolve(Buffer.concat(out));
      else reject(fault('signer-failed', name, `ended with ${signal ?? code}: ${said.trim() || 'it said nothing'}`));
    });
  });
}

function fault(code: string, input: string, reason: string): McpBuildError {
  const fix = 'Run it by hand with the word public-key after it; docs/trust.md says what it must do.';
  return new McpBuildError({ code, message: `Signer ${input} ${reason}`, input, fix });
}
