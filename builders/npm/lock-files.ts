import { z } from 'zod';
import { McpBuildError } from '../../errors/index.ts';

const lockSchema = z.looseObject({
  lockfileVersion: z.literal(3),
  packages: z.record(z.string(), z.record(z.string(), z.unknown())),
});

/** The `package.json` beside the lock: what `npm ci` and update bots start from. */
export function rootManifest(name: string, version: string): string {
  return json({ name: 'server', version: '0.0.0', private: true, dependencies: { [name]: version } });
}

/**
 * npm's lock without what depends on where and when it was made: addresses, and the texts that a registry can change after a release
 * (deprecations, funding). The same source gives the same bytes, behind any mirror.
 * @throws McpBuildError `lock-invalid`
 */
export function neutralLock(text: string): string {
  const lock: unknown = JSON.parse(text);
  const result = lockSchema.safeParse(lock);
  if (!result.success) {
    throw new McpBuildError({
      code: 'lock-invalid',
      message: 'package-lock.json is not of lockfileVersion 3',
      input: 'package-lock.json',
      fix: 'Make it again with `mcp-build lock`.',
      cause: result.error,
    });
  }
  const packages: Record<string, unknown> = {};
  for (const [location, entry] of Object.entries(result.data.packages)) {
    if (entry.extraneous) continue;
    const { resolved: _resolved, funding: _funding, deprecated: _deprecated, ...kept } = entry;
    packages[location] = kept;
  }
  // Spread from what was parsed, not from the schema's result: npm's own order of fields stays.
  return json({ ...(lock as object), packages });
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
