import { posix } from 'node:path';
import semver from 'semver';
import { z } from 'zod';
import { McpBuildError } from '../../errors/index.ts';
import { oneLine } from './names.ts';

/** What is read of a `package.json` from a tarball. Other fields are neither checked nor used. */
const schema = z.object({
  name: z.string().max(1024),
  version: z.string().max(1024),
  bin: z
    .union([z.string(), z.array(z.string()), z.record(z.string(), z.unknown())])
    .optional()
    .catch(undefined),
  bundleDependencies: z.unknown().optional(),
  bundledDependencies: z.unknown().optional(),
});

export type PackageManifest = z.infer<typeof schema>;

/** Ceiling in bytes for a package.json; the largest real ones have some 100 KB. */
export const MANIFEST_LIMIT = 4 * 1024 * 1024;

export function parseManifest(bytes: Uint8Array): PackageManifest | undefined {
  try {
    const text = new TextDecoder('utf-8').decode(bytes);
    const result = schema.safeParse(JSON.parse(text));
    return result.success ? result.data : undefined;
  } catch {
    return undefined;
  }
}

/**
 * A registry's metadata and the package.json that runs must name the same package, or scanners and reviewers looked at another one.
 * @throws McpBuildError `manifest-mismatch`
 */
export function matchManifest(
  manifest: PackageManifest | undefined,
  locked: { readonly name: string; readonly version: string },
): PackageManifest {
  const found = manifest && semver.parse(manifest.version, { loose: true })?.version;
  if (manifest && manifest.name.trim() === locked.name && found === semver.parse(locked.version)?.version)
    return manifest;
  const says = manifest
    ? `calls itself ${oneLine(`${manifest.name}@${manifest.version}`)}`
    : 'has no readable package.json';
  throw new McpBuildError({
    code: 'manifest-mismatch',
    message: `The tarball of ${locked.name}@${locked.version} ${says}`,
    input: `${locked.name}@${locked.version}`,
    fix: 'Do not use this release: what its registry shows is not what it holds.',
    exit: 4,
  });
}

/** Command name to path within the package, with the sanitation npm applies: nothing leads out of the package or of `.bin`. */
export function binsOf(manifest: PackageManifest): ReadonlyMap<string, string> {
  const { bin, name } = manifest;
  const entries: [string, unknown][] =
    typeof bin === 'string'
      ? [[name, bin]]
      : Array.isArray(bin)
        ? bin.map((path) => [posix.basename(path), path])
        : Object.entries(bin ?? {});
  const bins = new Map<string, string>();
  for (const [key, value] of entries) {
    const command = posix.join('/', posix.basename(key.replace(/[\\:]/g, '/'))).slice(1);
    if (typeof value !== 'string' || command === '' || command.includes('\0')) continue;
    const path = posix.join('/', value.replaceAll('\\', '/')).slice(1).replace(/\/$/, '');
    if (path !== '' && !path.includes('\0')) bins.set(command, path);
  }
  return bins;
}

/** Whether the package says that its tarball carries dependencies of its own. */
export function isBundle(manifest: Readonly<Record<string, unknown>>): boolean {
  const bundled = manifest.bundleDependencies ?? manifest.bundledDependencies;
  if (Array.isArray(bundled)) return bundled.length > 0;
  if (typeof bundled === 'object' && bundled !== null) return Object.keys(bundled).length > 0;
  return bundled === true;
}
