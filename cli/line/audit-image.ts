import { z } from 'zod';
import { readTarGz } from '../../builders/archive/index.ts';
import { type Artifact, isPlatform, type LayerLock, type Lock, type Platform } from '../../builders/index.ts';
import { type Integrity, integrityFromHex } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { type Descriptor, parseManifest, readDocument, type Store } from '../../registry/index.ts';
import { gather, PREDICATES, readServer, type Statement } from '../../trust/index.ts';
import type { Target } from './audit-target.ts';

const component = z.object({
  purl: z.string().max(2000).optional(),
  version: z.string().max(1000).optional(),
  hashes: z.array(z.object({ alg: z.enum(['SHA-256', 'SHA-512']), content: z.string().regex(/^[0-9a-f]{64,128}$/) })),
  licenses: z
    .array(
      z.object({ expression: z.string().optional(), license: z.object({ name: z.string().optional() }).optional() }),
    )
    .optional(),
  properties: z.array(z.object({ name: z.string(), value: z.string().max(2000) })),
});
const bom = z.object({ bomFormat: z.literal('CycloneDX'), components: z.array(z.unknown()).max(20_000) });

type Component = z.infer<typeof component>;

/** Largest file of the package database that is read, in bytes. */
const STATUS = 256 * 1024;

/**
 * An image as something to audit, by what is said of it: its `server` statement and the bill of materials of each platform, which name every file
 * by its hash, and the package database in its layers, which says of what source a Debian package is. Whoever relies on it judges the image, too.
 * @throws McpBuildError `attestation-missing` where it doesn't say what is in it, `sbom-invalid`
 */
export async function imageTarget(store: Store, image: Descriptor, name: string): Promise<Target> {
  const { attestations, platforms: images } = await gather(store, image);
  const statements = attestations.flatMap(({ on, said }) =>
    said.kind === 'statement' ? [{ on, statement: said.statement as Statement }] : [],
  );
  const server = statements
    .filter(({ statement }) => statement.predicateType === PREDICATES.server)
    .map(({ statement }) => readServer(statement.predicate))
    .find((one) => one !== undefined);
  if (!server) throw silent(name);
  const platforms: Lock['platforms'] = {};
  const licences: Record<string, { license: string }> = {};
  for (const { digest, platform } of images) {
    const where = `${platform?.os}/${platform?.architecture}`;
    if (!isPlatform(where)) continue;
    const said = statements.find(
      ({ on, statement }) => on === digest && statement.predicateType === PREDICATES.cyclonedx,
    );
    if (!said) throw silent(`${name} (${where})`);
    const sources = await debianSources(store, await store.resolve(digest), name);
    platforms[where satisfies Platform] = { layers: layersOf(componentsOf(said.statement, name), sources, licences) };
  }
  if (Object.keys(platforms).length === 0) throw silent(name);
  const lock: Lock = {
    lockVersion: 1,
    name: server.source.name.split('/').at(-1) ?? name,
    source: { ecosystem: server.source.ecosystem, name: server.source.name, range: '', version: server.source.version },
    before: null,
    created: server.created,
    native: {},
    base: { kind: 'recipe', recipe: 'image' },
    entrypoint: ['/'],
    platforms,
    index: image.digest,
  };
  const files = { 'package-lock.json': JSON.stringify({ packages: licences }) };
  return { name, folder: { lock, files }, path: undefined, tools: undefined };
}

function componentsOf(statement: Statement, name: string): readonly Component[] {
  const said = bom.safeParse(statement.predicate).data;
  // One that can't be read would be one that isn't looked at.
  const read = said?.components.map((one) => component.safeParse(one).data);
  if (read && read.length > 0 && read.every((one) => one !== undefined)) return read;
  throw new McpBuildError({
    code: 'sbom-invalid',
    message: `The bill of materials of ${name} can't be followed`,
    input: name,
    fix: 'Audit its lock, or have it attested again with `mcp-build attest`.',
    exit: 4,
  });
}

const LAYERS = ['base', 'runtime', 'system', 'dependencies', 'server'] as const;

function layersOf(
  components: readonly Component[],
  sources: ReadonlyMap<string, string>,
  licences: Record<string, { license: string }>,
): LayerLock[] {
  return LAYERS.flatMap((name): LayerLock[] => {
    const files = components.flatMap((one): Artifact[] => {
      const property = (key: string) => one.properties.find((each) => each.name === `mcp-build:${key}`)?.value;
      if (property('layer') !== name) return [];
      const file = artifactOf(one, property('file') ?? '', sources);
      if (file?.kind === 'npm') {
        const [licence] = one.licenses ?? [];
        const text = licence?.expression ?? licence?.license?.name;
        for (const at of file.locations) if (text !== undefined) licences[at] = { license: text };
      }
      return file ? [file] : [];
    });
    return files.length > 0 ? [{ name, transform: 'image/1', files }] : [];
  });
}

/** https://github.com/package-url/purl-spec */
function artifactOf(
  { purl = '', version = '', hashes }: Component,
  file: string,
  sources: ReadonlyMap<string, string>,
): Artifact | undefined {
  const match = /^pkg:(npm|pypi|deb)\/(?:debian\/)?([^?#]+)@[^@?#]*(?:\?arch=([a-z0-9]+))?$/.exec(purl);
  const [hash] = hashes;
  if (!match || !hash) return undefined;
  const name = decodeURIComponent(match[2] ?? '');
  const integrity: Integrity = integrityFromHex(hash.alg === 'SHA-512' ? 'sha512' : 'sha256', hash.content);
  const common = { name, version, file, integrity };
  switch (match[1]) {
    case 'npm': {
      const index = name.startsWith('@') ? name.slice(0, name.indexOf('/')) : 'default';
      return { kind: 'npm', ...common, index, locations: [`node_modules/${name}@${version}`] };
    }
    case 'pypi':
      return { kind: 'wheel', ...common, index: 'default' };
    default: {
      // As the pool has it, which is where advisories look for the name of the source.
      const source = sources.get(name) ?? name;
      const pool = `pool/main/${source.startsWith('lib') ? source.slice(0, 4) : source.slice(0, 1)}/${source}/${file}`;
      return { kind: 'deb', ...common, file: pool, index: 'debian', architecture: match[3] ?? 'all' };
    }
  }
}

/** Of what source each Debian package of an image is, by its package database. */
async function debianSources(store: Store, image: Descriptor, name: string): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  const manifest = parseManifest(await readDocument(store, image), image.mediaType, image.digest);
  if (manifest.kind !== 'image') return found;
  let without = 0;
  for (const layer of manifest.layers) {
    const before = found.size;
    for await (const member of readTarGz(store.read(layer), { name: `${name} ${layer.digest}`, kind: 'system' })) {
      if (member.type !== 'file' || !/^var\/lib\/dpkg\/status\.d\/[^/]+$/.test(member.path)) continue;
      if (member.path.endsWith('.md5sums') || member.size > STATUS) continue;
      const parts: Uint8Array[] = [];
      if (member.content instanceof Uint8Array) parts.push(member.content);
      else for await (const part of member.content) parts.push(Buffer.from(part));
      const text = Buffer.concat(parts).toString('utf8');
      const own = /^Package: ([a-z0-9][a-z0-9.+-]*)$/m.exec(text)?.[1];
      if (own !== undefined) found.set(own, /^Source: ([a-z0-9][a-z0-9.+-]*)/m.exec(text)?.[1] ?? own);
    }
    // Debian's packages are in the lowest layers, with a runtime between them at most.
    without = found.size > before ? 0 : without + 1;
    if (without > 1) break;
  }
  return found;
}

function silent(input: string): McpBuildError {
  return new McpBuildError({
    code: 'attestation-missing',
    message: `${input} does not say what is in it: it has no server statement, or no bill of materials`,
    input,
    fix: 'Audit its lock instead, or have it attested with `mcp-build attest`.',
    exit: 4,
  });
}
