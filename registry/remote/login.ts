import { realpath } from 'node:fs/promises';
import { McpBuildError } from '../../errors/index.ts';
import { withFileLock, writeAtomic } from '../../files/index.ts';
import { helperErase, helperStore } from './credential-helper.ts';
import { type CredentialFile, credentialFiles, entryName, readCredentialFile } from './credentials.ts';
import type { Environment } from './proxy.ts';

export type Secret =
  | { readonly username: string; readonly password: string }
  /** An OAuth2 refresh token. */
  | { readonly identityToken: string };

/**
 * Keeps credentials for a registry where Docker and other tools find them too: in the helper that is configured for it, else in the
 * first credential file. Check them first: `openRemote(…, { credential }).ping()`.
 * @param registry `host[:port]`. @returns where they are kept. @throws McpBuildError `credentials-invalid`, `credential-helper`
 */
export async function login(registry: string, secret: Secret, environment: Environment): Promise<string> {
  const host = registry.toLowerCase();
  const pair = 'identityToken' in secret ? { username: '<token>', password: secret.identityToken } : secret;
  if (pair.username.includes(':') && pair.username !== '<token>') throw colonInName(host);
  return edit(environment, async (file, path) => {
    const helper = file.credHelpers?.[host] ?? (file.credsStore || undefined);
    const auths = without(file, host);
    if (helper) {
      await helperStore(helper, host, pair, environment);
      // Docker marks with an empty entry that the helper knows the host.
      return { kept: `docker-credential-${helper}`, file: { ...file, auths: { ...auths, [host]: {} } } };
    }
    const entry =
      'identityToken' in secret
        ? { identitytoken: secret.identityToken }
        : { auth: Buffer.from(`${secret.username}:${secret.password}`).toString('base64') };
    return { kept: path, file: { ...file, auths: { ...auths, [host]: entry } } };
  });
}

/** Forgets what `login` or Docker kept for a registry. @returns whether there was anything. @throws as `login` */
export async function logout(registry: string, environment: Environment): Promise<boolean> {
  const host = registry.toLowerCase();
  let found = false;
  for (const path of credentialFiles(environment)) {
    if (!(await readCredentialFile(path))) continue;
    await edit(
      environment,
      async (file) => {
        const helper = file.credHelpers?.[host] ?? (file.credsStore || undefined);
        if (helper) await helperErase(helper, host, environment);
        const auths = without(file, host);
        const had = Object.keys(auths).length !== Object.keys(file.auths ?? {}).length;
        found ||= had || helper !== undefined;
        return { kept: path, file: had ? { ...file, auths } : undefined };
      },
      path,
    );
  }
  return found;
}

async function edit(
  environment: Environment,
  change: (
    file: CredentialFile,
    path: string,
  ) => Promise<{ readonly kept: string; readonly file: CredentialFile | undefined }>,
  at: string = credentialFiles(environment)[0]!,
): Promise<string> {
  // Dotfiles are often links into a repository; the link must stay one.
  const path = await realpath(at).catch(() => at);
  return withFileLock(`${path}.lock`, async () => {
    const { kept, file } = await change((await readCredentialFile(path)) ?? {}, path);
    if (file) await writeAtomic(path, `${JSON.stringify(file, null, '\t')}\n`, 0o600);
    return kept;
  });
}

/** Every spelling of a host, but not the namespaces below it. */
function without(file: CredentialFile, host: string): NonNullable<CredentialFile['auths']> {
  return Object.fromEntries(Object.entries(file.auths ?? {}).filter(([key]) => entryName(key) !== host));
}

function colonInName(host: string): McpBuildError {
  return new McpBuildError({
    code: 'credentials-invalid',
    message: `A user name for ${host} can't hold a colon`,
    input: host,
    fix: 'Check the user name: what follows the colon may be a password.',
    exit: 2,
  });
}
