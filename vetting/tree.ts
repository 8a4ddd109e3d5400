import { z } from 'zod';
import { type Artifact, LOCAL_INDEX, type Lock, type NpmArtifact } from '../builders/index.ts';
import type { Contents } from './content/contents.ts';

/** One package of a server's tree: all files of one name and version. */
export interface Package {
  /** `npm:zod@4.1.0`, `pypi:mcp@1.2.0`, `deb:libc6@2.41-12`: what findings and exceptions call it. */
  readonly ref: string;
  readonly kind: Artifact['kind'];
  readonly name: string;
  readonly version: string;
  /** One for npm; for PyPI and Debian one a platform where they differ. */
  readonly files: readonly Artifact[];
  /** Of the base image: chosen by mcp-build, not by the server. */
  readonly base: boolean;
  readonly server: boolean;
  /** `ref`s of what it needs. */
  readonly needs: readonly string[];
  /** As its native lock has it; the archive may say more. */
  readonly license?: string;
}

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
type Native = z.infer<typeof nativeNpm>['packages'];

export function refOf({ kind, name, version }: Pick<Artifact, 'kind' | 'name' | 'version'>): string {
  return `${kind === 'wheel' ? 'pypi' : kind}:${name}@${version}`;
}

/** `npm:zod`: how policies name packages of every version. */
export function nameOf({ kind, name }: Pick<Package, 'kind' | 'name'>): string {
  return `${kind === 'wheel' ? 'pypi' : kind}:${name}`;
}

/** Where a package is from, as a report names it: by the name that its lock has for the index. */
export function indexOf({ kind, files }: Pick<Package, 'kind' | 'files'>): string {
  const index = files[0]?.index ?? 'default';
  if (index === LOCAL_INDEX) return 'files of this machine';
  return `${kind === 'npm' ? 'npm registry' : 'index'} "${index}"`;
}

/** Two spellings of one file of one lock: what reading results are kept under. */
export function fileKey({ integrity }: Pick<Artifact, 'integrity'>): string {
  return integrity;
}

/**
 * Every package of a lock, over all its platforms, with who needs whom.
 * @param native native lock files by name. @param contents by `fileKey`; wheels say there what they require
 */
export function packagesOf(
  lock: Lock,
  native: Readonly<Record<string, string>>,
  contents: ReadonlyMap<string, Contents>,
): readonly Package[] {
  const groups = new Map<string, { files: Map<string, Artifact>; base: boolean; server: boolean }>();
  const locations = new Map<string, NpmArtifact>();
  const byProject = new Map<string, string>();
  for (const { layers } of Object.values(lock.platforms)) {
    for (const layer of layers) {
      for (const file of layer.files) {
        const ref = refOf(file);
        const group = groups.get(ref) ?? { files: new Map(), base: true, server: false };
        group.files.set(fileKey(file), file);
        if (layer.name === 'server') group.server = true;
        if (!['base', 'runtime', 'bridge'].includes(layer.name)) group.base = false;
        groups.set(ref, group);
        if (file.kind === 'npm') for (const at of file.locations) locations.set(at, file);
        if (file.kind === 'wheel') byProject.set(file.name, ref);
      }
    }
  }
  const entries = nativeOf(native);
  return [...groups].map(([ref, { files, base, server }]) => {
    const all = [...files.values()];
    const [first] = all;
    if (!first) throw new Error('a group has at least the file it was made for');
    const license = first.kind === 'npm' ? licenseOf(first, entries) : undefined;
    return {
      ref,
      kind: first.kind,
      name: first.name,
      version: first.version,
      files: all,
      base,
      server,
      needs: first.kind === 'npm' ? npmNeeds(first, entries, locations) : wheelNeeds(all, contents, byProject),
      ...(license === undefined ? {} : { license }),
    };
  });
}

function nativeOf(native: Readonly<Record<string, string>>): Native {
  const text = native['package-lock.json'];
  if (text === undefined) return {};
  const parsed = nativeNpm.safeParse(JSON.parse(text));
  return parsed.success ? parsed.data.packages : {};
}

function licenseOf({ locations }: NpmArtifact, entries: Native): string | undefined {
  return locations.map((at) => entries[at]?.license).find((one) => one !== undefined);
}

function npmNeeds(
  { locations: own }: NpmArtifact,
  entries: Native,
  locations: ReadonlyMap<string, NpmArtifact>,
): readonly string[] {
  const found = new Set<string>();
  for (const at of own) {
    const entry = entries[at];
    if (!entry) continue;
    for (const name of Object.keys({
      ...entry.dependencies,
      ...entry.optionalDependencies,
      ...entry.peerDependencies,
    })) {
      const file = nearest(at, name, locations);
      if (file) found.add(refOf(file));
    }
  }
  return [...found];
}

/** Node's own rule: the package's own node_modules, then those of each folder above it. */
function nearest(from: string, name: string, locations: ReadonlyMap<string, NpmArtifact>): NpmArtifact | undefined {
  for (let folder = from; ; ) {
    const found = locations.get(`${folder === '' ? '' : `${folder}/`}node_modules/${name}`);
    if (found) return found;
    if (folder === '') return undefined;
    const cut = folder.lastIndexOf('/node_modules/');
    folder = cut < 0 ? '' : folder.slice(0, cut);
  }
}

function wheelNeeds(
  files: readonly Artifact[],
  contents: ReadonlyMap<string, Contents>,
  byProject: ReadonlyMap<string, string>,
): readonly string[] {
  const found = new Set<string>();
  for (const file of files) {
    for (const name of contents.get(fileKey(file))?.requires ?? []) {
      const ref = byProject.get(name);
      if (ref !== undefined) found.add(ref);
    }
  }
  return [...found];
}

/** From the server to each package, the shortest way; what nothing needs (the base) is its own way. */
export function pathsOf(packages: readonly Package[]): ReadonlyMap<string, readonly string[]> {
  const byRef = new Map(packages.map((one) => [one.ref, one]));
  const paths = new Map<string, readonly string[]>();
  let front = packages.filter(({ server }) => server).map(({ ref }) => ref);
  for (const ref of front) paths.set(ref, [ref]);
  while (front.length > 0) {
    const next: string[] = [];
    for (const ref of front) {
      for (const need of byRef.get(ref)?.needs ?? []) {
        if (paths.has(need)) continue;
        paths.set(need, [...(paths.get(ref) ?? []), need]);
        next.push(need);
      }
    }
    front = next;
  }
  for (const { ref } of packages) if (!paths.has(ref)) paths.set(ref, [ref]);
  return paths;
}
