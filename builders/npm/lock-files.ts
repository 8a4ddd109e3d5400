import { z } from 'zod';
import { McpBuildError } from '../../errors/index.ts';
import { isVersion, oneLine } from './names.ts';

const lockSchema = z.looseObject({
  lockfileVersion: z.literal(3),
  packages: z.record(z.string(), z.record(z.string(), z.unknown())),
});

/** The `package.json` beside the lock: what `npm ci` and update bots start from. */
export function rootManifest(name: string, version: string, overrides: Readonly<Record<string, string>> = {}): string {
  return json({
    name: 'server',
    version: '0.0.0',
    private: true,
    dependencies: { [name]: version },
    ...(Object.keys(overrides).length > 0 ? { overrides } : {}),
  });
}

/** The version of the server in a lock that someone else wrote. @throws McpBuildError `lock-invalid` */
export function lockedVersion(text: string, name: string): string {
  const version = parse(text).packages[`node_modules/${name}`]?.version;
  if (isVersion(version)) return version;
  throw invalid(`names no version of ${name}`);
}

/**
 * npm's lock without what depends on where and when it was made: addresses, and the texts that a registry can change after a release
 * (deprecations, funding). The same source gives the same bytes, behind any mirror.
 * @throws McpBuildError `lock-invalid`
 */
export function neutralLock(text: string): string {
  const lock = parse(text);
  const packages: Record<string, unknown> = {};
  for (const [location, entry] of Object.entries(lock.packages)) {
    if (entry.extraneous) continue;
    const { resolved: _resolved, funding: _funding, deprecated: _deprecated, ...kept } = entry;
    packages[location] = kept;
  }
  return json({ ...lock, packages });
}

/** What was parsed itself, not the schema's copy: npm's own order of fields stays. */
function parse(text: string): z.infer<typeof lockSchema> {
  let lock: unknown;
  try {
    lock = JSON.parse(text);
  } catch (cause) {
    throw invalid('is not JSON', cause);
  }
  const result = lockSchema.safeParse(lock);
  if (!result.success) throw invalid('is not of lockfileVersion 3', result.error);
  const link = Object.entries(result.data.packages).find(([, entry]) => entry.link);
  if (link) throw invalid(`has a link to a folder at ${oneLine(link[0])}`);
  return lock as z.infer<typeof lockSchema>;
}

function invalid(what: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'lock-invalid',
    message: `package-lock.json ${what}`,
    input: 'package-lock.json',
    fix: 'Restore it from version control, or make it again with `mcp-build lock`.',
    cause,
  });
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
