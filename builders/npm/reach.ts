import type { FetchOptions } from '../adapter.ts';
import type { Reached } from '../reach.ts';
import { statusFault } from '../reach.ts';
import { npmConfiguration } from './configuration.ts';
import { redact, request } from './http.ts';

/** What every registry is asked for: any answer that is no refusal will do. */
const PACKAGE = 'npm';

/** The registries of npm's configuration, each asked for one document and hung up on. @throws McpBuildError `npm-config-invalid` */
export async function reach(
  options: Pick<FetchOptions, 'environment' | 'workspace' | 'signal'>,
): Promise<readonly Reached[]> {
  const configuration = await npmConfiguration(options);
  const registries = new Map<string, string>();
  const { flat } = configuration;
  if (typeof flat.registry === 'string') registries.set(flat.registry, 'npm');
  for (const [key, value] of Object.entries(flat)) {
    const scope = /^(@[^:]+):registry$/.exec(key)?.[1];
    if (scope && typeof value === 'string' && !registries.has(value)) registries.set(value, scope);
  }
  return Promise.all(
    [...registries].map(async ([registry, name]): Promise<Reached> => {
      const address = redact(registry);
      try {
        const reply = await request(new URL(PACKAGE, registry.replace(/\/*$/, '/')).href, {
          configuration,
          registry,
          signal: options.signal,
          headers: { accept: 'application/vnd.npm.install-v1+json' },
        });
        reply.body.destroy();
        const error = statusFault(address, reply.status);
        return { name, address, date: reply.headers.date, ...(error ? { error } : {}) };
      } catch (error) {
        return { name, address, date: undefined, error };
      }
    }),
  );
}
