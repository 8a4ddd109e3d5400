import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { McpBuildError } from '../../errors/index.ts';
import { readBounded } from '../../files/index.ts';
import { helperGet } from './credential-helper.ts';
import type { Environment } from './proxy.ts';

export type Credential =
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** A refresh token (OAuth2), which only a token server takes. */
  | { readonly kind: 'identity'; readonly token: string }
  /** A token for the registry itself. */
  | { readonly kind: 'bearer'; readonly token: string };

const authSchema = z.looseObject({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
  registrytoken: z.string().optional(),
});
const configSchema = z.looseObject({
  auths: z.record(z.string(), authSchema).nullish(),
  credHelpers: z.record(z.string(), z.string()).nullish(),
  credsStore: z.string().nullish(),
});

/** Docker's config.json and containers' auth.json; loose, since `login` writes back what it doesn't know. */
export type CredentialFile = z.infer<typeof configSchema>;
type Auth = z.infer<typeof authSchema>;

/** In bytes. */
const LIMIT = 1024 * 1024;

/** Where credentials may be, in the order in which they are looked for; the first is where `login` writes. */
export function credentialFiles(environment: Environment): readonly string[] {
  if (environment.REGISTRY_AUTH_FILE) return [environment.REGISTRY_AUTH_FILE];
  const home = environment.HOME || homedir();
  const docker = join(environment.DOCKER_CONFIG || join(home, '.docker'), 'config.json');
  const containers = [
    ...(environment.XDG_RUNTIME_DIR ? [join(environment.XDG_RUNTIME_DIR, 'containers', 'auth.json')] : []),
    join(environment.XDG_CONFIG_HOME || join(home, '.config'), 'containers', 'auth.json'),
  ];
  return [docker, ...containers];
}

/**
 * The credentials kept for a repository: a helper for the host, else the entry of a file, most specific first, else the store for
 * everything. Undefined when there are none.
 * @throws McpBuildError `credentials-invalid`, `credential-helper`
 */
export async function findCredential(
  registry: string,
  repository: string,
  environment: Environment,
): Promise<Credential | undefined> {
  for (const path of credentialFiles(environment)) {
    const file = await readCredentialFile(path);
    if (!file) continue;
    const helper = file.credHelpers?.[registry] ?? (file.credsStore || undefined);
    if (helper) {
      const found = await helperGet(helper, registry, environment);
      if (found) return found;
    }
    const auth = entryFor(file.auths ?? {}, registry, repository);
    const credential = auth && credentialOf(auth, path);
    if (credential) return credential;
  }
  return undefined;
}

/** The registries, as `host[:port]`, for which credentials are kept by name. @throws McpBuildError `credentials-invalid` */
export async function hostsWithCredentials(environment: Environment): Promise<readonly string[]> {
  const hosts = new Set<string>();
  for (const path of credentialFiles(environment)) {
    const file = await readCredentialFile(path);
    for (const key of [...Object.keys(file?.auths ?? {}), ...Object.keys(file?.credHelpers ?? {})]) {
      const host = entryName(key).split('/')[0];
      if (host) hosts.add(host);
    }
  }
  return [...hosts];
}

/** Undefined when the file isn't there. @throws McpBuildError `credentials-invalid` */
export async function readCredentialFile(path: string): Promise<CredentialFile | undefined> {
  let text: string;
  try {
    text = (await readBounded(path, LIMIT)).toString();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw invalid(path, 'can not be read', cause);
  }
  if (text.trim() === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Without the cause: its message quotes the text, which may be a secret.
    throw invalid(path, 'is not JSON');
  }
  const result = configSchema.safeParse(value);
  if (!result.success) throw invalid(path, `does not fit: ${result.error.issues[0]?.path.join('.')}`);
  return result.data;
}

/** Entries are written as `host`, `https://host/v1/` (old clients) or `host/namespace` (containers' auth.json). */
function entryFor(auths: Readonly<Record<string, Auth>>, registry: string, repository: string): Auth | undefined {
  const byName = new Map<string, Auth>();
  for (const [key, auth] of Object.entries(auths)) {
    const name = entryName(key);
    if (!byName.has(name) || key === name) byName.set(name, auth);
  }
  const parts = repository.split('/');
  for (let length = parts.length; length >= 0; length--) {
    const auth = byName.get([registry, ...parts.slice(0, length)].join('/'));
    if (auth) return auth;
  }
  return undefined;
}

/** The host (and namespace) an entry is for, however its key spells it. */
export function entryName(key: string): string {
  const bare = key.replace(/^https?:\/\//, '').replace(/\/+$/, '');
  return bare.replace(/\/v[12]$/, '').replace(/^[^/]+/, (host) => host.toLowerCase());
}

function credentialOf(auth: Auth, path: string): Credential | undefined {
  if (auth.registrytoken) return { kind: 'bearer', token: auth.registrytoken };
  if (auth.identitytoken) return { kind: 'identity', token: auth.identitytoken };
  if (auth.auth) {
    const text = Buffer.from(auth.auth, 'base64').toString().replace(/\0+$/, '');
    const colon = text.indexOf(':');
    if (colon < 0) throw invalid(path, 'has an entry whose "auth" is not base64 of user:password');
    return passwordOrToken(text.slice(0, colon), text.slice(colon + 1));
  }
  if (auth.username && auth.password) return passwordOrToken(auth.username, auth.password);
  return undefined;
}

/** `<token>` as a user name marks a refresh token, as credential helpers spell it. */
export function passwordOrToken(username: string, password: string): Credential {
  return username === '<token>' ? { kind: 'identity', token: password } : { kind: 'basic', username, password };
}

function invalid(path: string, reason: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'credentials-invalid',
    message: `The credentials in ${path}: it ${reason}`,
    input: path,
    fix: 'Repair the file, or move it away and log in again.',
    exit: 2,
    ...(cause === undefined ? {} : { cause }),
  });
}
