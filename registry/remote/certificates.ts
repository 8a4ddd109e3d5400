import { readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import tls, { type SecureContext } from 'node:tls';
import { McpBuildError } from '../../errors/index.ts';
import { readBounded } from '../../files/index.ts';
import type { Environment } from './proxy.ts';

export interface Certificates {
  /** Authorities trusted besides Node's own, in PEM; for every host. */
  readonly ca?: string;
  /** The client's certificate and key in PEM; shown to the registry itself only. */
  readonly client?: { readonly certificate: string; readonly key: string };
  /**
   * Folders of folders by `host[:port]` with `*.crt` (authorities) and `*.cert` + `*.key` (client); by default those where Docker
   * and containers keep them.
   */
  readonly folders?: readonly string[];
}

/** Where Docker and containers look for certificates by host, the user's own first. */
export function certificateFolders(environment: Environment): readonly string[] {
  const home = environment.HOME || homedir();
  return [
    join(environment.XDG_CONFIG_HOME || join(home, '.config'), 'containers', 'certs.d'),
    join(home, '.docker', 'certs.d'),
    '/etc/containers/certs.d',
    '/etc/docker/certs.d',
  ];
}

/** In bytes: a bundle of all public authorities has some 300 KB. */
const LIMIT = 4 * 1024 * 1024;

/**
 * The TLS settings for one host; undefined where Node's defaults do.
 * @param host with its port where the reference has one
 * @param own whether it is the registry itself, not a host it points at
 * @param system also trust what the system trusts: asked for once Node's own authorities have said no, since loading them takes a
 * tenth of a second. @throws McpBuildError `certificate-invalid`
 */
export async function secureContext(
  host: string,
  own: boolean,
  given: Certificates,
  system: boolean,
): Promise<SecureContext | undefined> {
  const found = await inFolders(host, given.folders ?? []);
  const ca = [...(given.ca === undefined ? [] : [given.ca]), ...found.ca];
  // What a folder holds is for the host it names; what an option gives, for the registry that was named with it.
  const client = found.client ?? (own ? given.client : undefined);
  if (ca.length === 0 && !client && !system) return undefined;
  try {
    return tls.createSecureContext({
      ca: [
        ...new Set([...tls.getCACertificates('default'), ...(system ? tls.getCACertificates('system') : []), ...ca]),
      ],
      ...(client ? { cert: client.certificate, key: client.key } : {}),
    });
  } catch (cause) {
    throw new McpBuildError({
      code: 'certificate-invalid',
      message: `The certificates configured for ${host} can't be read`,
      input: host,
      fix: `Check that what is in certs.d/${host}, or in the folder named with --certs, is PEM and that keys fit their certificates.`,
      exit: 2,
      cause,
    });
  }
}

async function inFolders(
  host: string,
  folders: readonly string[],
): Promise<{ readonly ca: readonly string[]; readonly client?: NonNullable<Certificates['client']> }> {
  const ca: string[] = [];
  let client: Certificates['client'];
  for (const folder of folders) {
    const names = await readdir(join(folder, host)).catch((): string[] => []);
    const read = async (name: string) => (await readBounded(join(folder, host, name), LIMIT)).toString();
    for (const name of names.sort()) {
      if (name.endsWith('.crt')) ca.push(await read(name));
      const key = name.replace(/\.cert$/, '.key');
      if (key !== name && names.includes(key)) client ??= { certificate: await read(name), key: await read(key) };
    }
  }
  return client ? { ca, client } : { ca };
}
