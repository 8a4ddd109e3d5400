import type { FetchOptions } from '../adapter.ts';
import { type Reached, statusFault } from '../reach.ts';
import { readConfiguration } from './config/index.ts';
import { createClient, shown } from './http.ts';

/** What every index is asked for: any answer that is no refusal will do. */
const PROJECT = 'pip/';

/** The indexes of uv's or pip's configuration, each asked for one page and hung up on. @throws as `readConfiguration` */
export async function reach(
  options: Pick<FetchOptions, 'environment' | 'workspace' | 'signal'>,
): Promise<readonly Reached[]> {
  const configuration = await readConfiguration(options);
  const client = createClient(configuration);
  return Promise.all(
    configuration.indexes.map(async ({ name, url, credentials }): Promise<Reached> => {
      const address = shown(url);
      const called = name === 'default' ? 'pypi' : name;
      try {
        const response = await client.get(new URL(PROJECT, url).href, {
          accept: 'application/vnd.pypi.simple.v1+json, text/html;q=0.1',
          credentials,
          signal: options.signal,
        });
        response.discard();
        const error = statusFault(address, response.status);
        return { name: called, address, date: undefined, ...(error ? { error } : {}) };
      } catch (error) {
        return { name: called, address, date: undefined, error };
      }
    }),
  );
}
