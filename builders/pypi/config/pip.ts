import { join } from 'node:path';
import { parseIni } from './ini.ts';
import { listOf, readOptional, type Surroundings } from './surroundings.ts';

/** What pip's configuration says of indexes and connections, in pip's own words. */
export interface PipSettings {
  readonly indexUrl: string | undefined;
  readonly extraIndexUrls: readonly string[];
  readonly certificate: string | undefined;
  readonly clientCertificate: string | undefined;
  readonly trustedHosts: readonly string[];
  readonly proxy: string | undefined;
  /** In seconds. */
  readonly timeout: number | undefined;
  readonly noIndex: boolean;
}

/**
 * pip's settings in pip's order: `PIP_*` variables, then `PIP_CONFIG_FILE`, the virtual environment's, the user's and the system's
 * `pip.conf`; in a file `[install]` and `[download]` before `[global]`.
 */
export async function pipSettings(surroundings: Surroundings): Promise<PipSettings> {
  const values = new Map<string, string>();
  for (const path of pipFiles(surroundings)) {
    const text = await readOptional(path);
    if (text === undefined) continue;
    const sections = parseIni(text);
    for (const title of ['global', 'download', 'install']) {
      for (const [key, value] of sections.get(title) ?? []) values.set(key, value);
    }
  }
  for (const [key, value] of Object.entries(surroundings.environment)) {
    if (key.startsWith('PIP_') && value) values.set(key.slice(4).toLowerCase().replace(/_/g, '-'), value);
  }
  const timeout = Number(values.get('timeout') ?? values.get('default-timeout'));
  return {
    indexUrl: values.get('index-url') || undefined,
    extraIndexUrls: listOf(values.get('extra-index-url')),
    certificate: values.get('cert') || undefined,
    clientCertificate: values.get('client-cert') || undefined,
    trustedHosts: listOf(values.get('trusted-host')),
    proxy: values.get('proxy') || undefined,
    timeout: Number.isFinite(timeout) && timeout > 0 ? timeout : undefined,
    noIndex: /^(?:1|true|yes|on)$/i.test(values.get('no-index') ?? ''),
  };
}

/** Least important first. */
function pipFiles({ environment, home, system }: Surroundings): readonly string[] {
  const own = environment.PIP_CONFIG_FILE;
  if (own === '/dev/null') return [];
  const files = [
    ...listOf(environment.XDG_CONFIG_DIRS || '/etc/xdg', ':')
      .reverse()
      .map((folder) => join(folder, 'pip', 'pip.conf')),
    '/etc/pip.conf',
    ...(system === 'darwin' ? ['/Library/Application Support/pip/pip.conf'] : []),
    join(home, '.pip', 'pip.conf'),
    join(environment.XDG_CONFIG_HOME || join(home, '.config'), 'pip', 'pip.conf'),
    ...(system === 'darwin' ? [join(home, 'Library', 'Application Support', 'pip', 'pip.conf')] : []),
  ];
  if (environment.VIRTUAL_ENV) files.push(join(environment.VIRTUAL_ENV, 'pip.conf'));
  if (own) files.push(own);
  return files;
}
