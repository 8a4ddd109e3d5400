import { isFault } from '../../../errors/index.ts';
import type { FetchOptions } from '../../adapter.ts';
import { run } from '../process.ts';
import { findPrograms } from '../search-path.ts';
import type { Configuration, Index } from './index.ts';

/**
 * Fills in the passwords that the user keeps in a keyring, where uv's `keyring-provider = "subprocess"` says so: `keyring get <url>
 * <username>`, then with the host alone, for each index that has a username and no password. The program is the user's own, from PATH.
 */
export async function withKeyring(
  configuration: Configuration,
  { environment, signal }: Pick<FetchOptions, 'environment' | 'signal'>,
): Promise<Configuration> {
  if (configuration.keyring !== 'subprocess') return configuration;
  const waiting = configuration.indexes.some(lacksPassword);
  const [program] = waiting ? await findPrograms(['keyring'], environment.PATH) : [];
  if (program === undefined) return configuration;
  const variables = Object.fromEntries(
    Object.entries(environment).filter((pair): pair is [string, string] => pair[1] !== undefined),
  );
  const ask = async (service: string, username: string): Promise<string | undefined> => {
    try {
      const { code, stdout } = await run(program, ['get', service, username], {
        environment: variables,
        folder: '/',
        timeout: 60_000,
        limit: 64 * 1024,
        signal,
      });
      return code === 0 ? stdout.trimEnd() || undefined : undefined;
    } catch (error) {
      if (isFault(error, 'program-failed')) return undefined;
      throw error;
    }
  };
  const indexes: Index[] = [];
  for (const index of configuration.indexes) {
    const username = index.credentials?.username ?? '';
    const password = lacksPassword(index)
      ? ((await ask(index.url, username)) ?? (await ask(new URL(index.url).host, username)))
      : undefined;
    indexes.push(password === undefined ? index : { ...index, credentials: { username, password } });
  }
  return { ...configuration, indexes };
}

function lacksPassword({ credentials }: Index): boolean {
  return credentials !== undefined && credentials.username !== '' && credentials.password === '';
}
