import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { McpBuildError } from '../../errors/index.ts';
import { withFileLock, writeAtomic } from '../../files/index.ts';
import {
  generateKey,
  type PrivateKey,
  type PublicKey,
  parsePublicKey,
  publicPem,
  readPrivateKey,
} from '../../trust/index.ts';
import type { Environment, Home } from './home.ts';
import { passphrase } from './passphrase.ts';

/** The key a team shares: made by `init`, encrypted. */
export function sharedKeyPaths(folder: string): { private: string; public: string } {
  return { private: join(folder, 'mcp-build.key'), public: join(folder, 'mcp-build.pub') };
}

/** Made by `run` on first use. Unencrypted, for there may be nobody to ask; what it signed counts on this machine only. */
export function machineKeyPaths(home: Home): { private: string; public: string } {
  return { private: join(home.keys, 'machine.key'), public: join(home.keys, 'machine.pub') };
}

/** @param onMade told of a key that had to be made, so that it can be said aloud */
export async function machineKey(home: Home, onMade: (path: string) => void): Promise<PrivateKey> {
  const paths = machineKeyPaths(home);
  await withFileLock(`${paths.private}.lock`, async () => {
    if (await exists(paths.private)) return;
    const key = generateKey();
    await writeAtomic(paths.public, publicPem(key));
    await writeAtomic(paths.private, key.private.export({ type: 'pkcs8', format: 'pem' }), 0o600);
    onMade(paths.private);
  });
  return readPrivateKey(paths.private, undefined);
}

/** The key named by `--key`, else the shared one. @throws McpBuildError `key-missing` */
export async function signingKey(path: string | undefined, home: Home, environment: Environment): Promise<PrivateKey> {
  const file = path ?? sharedKeyPaths(home.keys).private;
  if (path === undefined && !(await exists(file))) {
    throw new McpBuildError({
      code: 'key-missing',
      message: 'There is no key to sign with',
      input: file,
      fix: 'Make one with `mcp-build init`, or name one with --key.',
      exit: 2,
    });
  }
  const encrypted = /ENCRYPTED/.test(await readFile(file, 'utf8').catch(() => ''));
  return readPrivateKey(file, encrypted ? await passphrase(`Passphrase for ${file}: `, environment) : undefined);
}

export interface TrustedKey {
  /** How a person would call it. */
  readonly name: string;
  readonly key: PublicKey;
}

/** The keys whose signatures count for this user when no policy and no `--key` says otherwise: their own. */
export async function ownKeys(home: Home): Promise<TrustedKey[]> {
  const found: TrustedKey[] = [];
  for (const path of [sharedKeyPaths(home.keys).public, machineKeyPaths(home).public]) {
    if (await exists(path)) found.push(await publicKeyFile(path));
  }
  return found;
}

/** @throws McpBuildError `key-unreadable`, `key-invalid` */
export async function publicKeyFile(path: string): Promise<TrustedKey> {
  const pem = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new McpBuildError({
      code: 'key-unreadable',
      message: `Key ${path} can't be read: ${cause.code}`,
      input: path,
      fix: 'Name the file of a public key.',
      exit: 2,
      cause,
    });
  });
  return { name: path, key: parsePublicKey(pem, path) };
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() === true;
}
