import { z } from 'zod';
import {
  type Artifact,
  type Lock,
  lockDigest,
  type NpmArtifact,
  type Open,
  type Platform,
} from '../../builders/index.ts';
import { describeWheel, type WheelDescription } from '../../builders/pypi/index.ts';
import { type Material, type Materials, nameOf } from '../../trust/index.ts';
import { builderDigest, version } from '../version.ts';
import type { LockFolder } from './folder.ts';

const nativeNpm = z.object({
  packages: z.record(
    z.string(),
    z.object({
      license: z.string().optional().catch(undefined),
      dependencies: z.record(z.string(), z.string()).optional(),
      optionalDependencies: z.record(z.string(), z.string()).optional(),
      peerDependencies: z.record(z.string(), z.string()).optional(),
    }),
  ),
});

/**
 * A lock in the words of trust: what one platform's image, or all of them, were built from. Each wheel is read once, for however many of them is
 * asked. @param open reads wheels, whose index says nothing of licences
 */
export function materialsOf(folder: LockFolder, open: Open): (platforms: readonly Platform[]) => Promise<Materials> {
  const describe = describer(folder.lock, folder.files, open);
  return (platforms) => materialsWith(folder, platforms, describe);
}

async function materialsWith(
  { lock }: LockFolder,
  platforms: readonly Platform[],
  describe: Describe,
): Promise<Materials> {
  const found: Material[] = [];
  const seen = new Set<string>();
  for (const platform of platforms) {
    for (const { name, files } of lock.platforms[platform]?.layers ?? []) {
      // Byte-code has no files of its own: it is made from those of the other layers.
      if (name === 'base-bytecode' || name === 'dependencies-bytecode' || name === 'server-bytecode') continue;
      for (const file of files) {
        const material = plainMaterial(file, name);
        if (seen.has(nameOf(material))) continue;
        seen.add(nameOf(material));
        found.push({ ...material, ...(await describe(file, platform)) });
      }
    }
  }
  if (lock.base.kind === 'image') {
    found.push({
      kind: 'image',
      name: lock.base.reference.split('/').at(-1) ?? 'base',
      version: '',
      file: 'base',
      integrity: lock.base.digest,
      layer: 'base',
    });
  }
  found.push(await builderMaterial());
  return {
    name: lock.name,
    source: { ...lock.source },
    ...(platforms.length === 1 && platforms[0] ? { platform: platforms[0] } : {}),
    created: lock.created,
    lock: lockDigest(lock),
    files: found,
    builder: version(),
  };
}

type Described = Pick<Material, 'license' | 'needs'>;
type Describe = (file: Artifact, platform: Platform) => Promise<Described>;

function describer(lock: Lock, files: LockFolder['files'], open: Open): Describe {
  if (lock.source.ecosystem === 'npm') {
    const native = nativeNpm.safeParse(JSON.parse(files['package-lock.json'] ?? '{}'));
    const packages = native.success ? native.data.packages : {};
    return async (file, platform) => (file.kind === 'npm' ? npmDescription(file, platform, lock, packages) : {});
  }
  const known = new Map<string, Promise<WheelDescription>>();
  return async (file, platform) => {
    if (file.kind !== 'wheel') return {};
    const description = known.get(file.integrity) ?? describeWheel(file, open);
    known.set(file.integrity, description);
    const { license, requires } = await description;
    return { license, needs: wheelsNamed(lock, platform, requires) };
  };
}

function npmDescription(
  file: NpmArtifact,
  platform: Platform,
  lock: Lock,
  packages: z.infer<typeof nativeNpm>['packages'],
): Described {
  const [location] = file.locations;
  const entry = location === undefined ? undefined : packages[location];
  if (!location || !entry) return {};
  const names = Object.keys({ ...entry.dependencies, ...entry.optionalDependencies, ...entry.peerDependencies });
  const byLocation = new Map<string, NpmArtifact>();
  for (const { files } of lock.platforms[platform]?.layers ?? []) {
    for (const other of files) if (other.kind === 'npm') for (const at of other.locations) byLocation.set(at, other);
  }
  const needs = names.flatMap((name) => {
    const found = nearest(location, name, byLocation);
    return found ? [nameOf(plainMaterial(found, 'dependencies'))] : [];
  });
  return { license: entry.license, needs };
}

/** Node's own rule: the package's own node_modules, then those of each folder above it. */
function nearest(from: string, name: string, byLocation: ReadonlyMap<string, NpmArtifact>): NpmArtifact | undefined {
  for (let folder = from; ; ) {
    const found = byLocation.get(`${folder === '' ? '' : `${folder}/`}node_modules/${name}`);
    if (found) return found;
    if (folder === '') return undefined;
    const cut = folder.lastIndexOf('/node_modules/');
    folder = cut < 0 ? '' : folder.slice(0, cut);
  }
}

function wheelsNamed(lock: Lock, platform: Platform, names: readonly string[]): string[] {
  const wanted = new Set(names);
  const files = (lock.platforms[platform]?.layers ?? []).flatMap((layer) => layer.files);
  return files
    .filter((file) => file.kind === 'wheel' && wanted.has(file.name))
    .map((file) => nameOf(plainMaterial(file, 'dependencies')));
}

function plainMaterial(file: Artifact, layer: Material['layer']): Material {
  return {
    kind: file.kind === 'bridge' ? 'tool' : file.kind,
    name: file.name,
    version: file.version,
    file: file.file.split('/').at(-1) ?? file.file,
    integrity: file.integrity,
    size: file.size,
    layer,
    ...(file.kind === 'deb' ? { architecture: file.architecture } : {}),
  };
}

/** What made the bytes: two versions of it may make others from the same lock. */
async function builderMaterial(): Promise<Material> {
  const digest = await builderDigest();
  return {
    kind: 'tool',
    name: 'mcp-build',
    version: version(),
    file: `mcp-build-${version()}`,
    integrity: digest,
    layer: 'tool',
  };
}
