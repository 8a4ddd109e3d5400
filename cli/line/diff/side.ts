import { z } from 'zod';
import { formatSource, isPlatform, type Lock, type Platform } from '../../../builders/index.ts';
import { McpBuildError } from '../../../errors/index.ts';
import { type Descriptor, isIndexType, parseManifest, readDocument, type Store } from '../../../registry/index.ts';
import { gather, type Permissions, PREDICATES, readServer, type Statement } from '../../../trust/index.ts';
import type { Contents, Package } from '../../../vetting/index.ts';
import { fileKey } from '../../../vetting/index.ts';

/** One of two things that are compared: a lock, or an image by what is said of it. What isn't known of it is undefined. */
export interface Side {
  readonly name: string;
  /** `npm:x` or `pypi:x`. */
  readonly source: string;
  readonly version: string;
  /** By `npm:x`, `pypi:x`, `deb:x`. */
  readonly packages: ReadonlyMap<string, PackageSide>;
  readonly permissions: Permissions | undefined;
  /** Digests of definitions by `tool x`, `prompt x`, …: several where a server was seen to define one name in several ways. */
  readonly offer: ReadonlyMap<string, readonly string[]> | undefined;
  /** Definitions by the same names and in the same order, where they are recorded: an image's statement has only their digests. */
  readonly definitions?: ReadonlyMap<string, readonly unknown[]>;
  /** Compressed layers of one platform, in bytes, by platform. */
  readonly sizes: ReadonlyMap<string, number>;
}

export interface PackageSide {
  readonly versions: readonly string[];
  readonly licences: readonly string[];
  /** The base's, not the server's. */
  readonly base: boolean;
  /** From an index of security updates. */
  readonly security: boolean;
}

interface OfferedItem {
  readonly name: string;
  readonly digest: string;
  readonly definition?: unknown;
}

export interface Offered {
  readonly tools: readonly OfferedItem[];
  readonly prompts: readonly OfferedItem[];
  readonly resources: readonly OfferedItem[];
  readonly resourceTemplates: readonly OfferedItem[];
}

export interface LockSide {
  readonly lock: Lock;
  readonly packages: readonly Package[];
  readonly contents: ReadonlyMap<string, Contents>;
  readonly permissions: Permissions | undefined;
  readonly offer: Offered | undefined;
}

export function sideOfLock({ lock, packages, contents, permissions, offer }: LockSide): Side {
  const found = new Map<string, PackageSide>();
  for (const { ref, version, files, base, license } of packages) {
    const said = files
      .map((file) => contents.get(fileKey(file))?.license ?? license)
      .filter((one) => one !== undefined);
    const security = files.some(({ index }) => /security/.test(index));
    add(found, ref.slice(0, ref.lastIndexOf('@')), { versions: [version], licences: said, base, security });
  }
  const sizes = Object.entries(lock.platforms).flatMap(([platform, { layers }]): [string, number][] =>
    layers.every(({ output }) => output)
      ? [[platform, layers.reduce((sum, { output }) => sum + (output?.size ?? 0), 0)]]
      : [],
  );
  return {
    name: lock.name,
    source: formatSource({ ...lock.source, range: '' }),
    version: lock.source.version,
    packages: found,
    permissions,
    offer: offer && offered(offer, ({ digest }) => digest),
    ...(offer ? { definitions: offered(offer, ({ definition }) => definition) } : {}),
    sizes: new Map(sizes),
  };
}

const bom = z.object({
  components: z
    .array(
      z.object({
        purl: z.string().optional(),
        version: z.string().optional(),
        licenses: z
          .array(
            z.object({
              expression: z.string().optional(),
              license: z.object({ name: z.string().optional(), id: z.string().optional() }).optional(),
            }),
          )
          .optional(),
        properties: z.array(z.object({ name: z.string(), value: z.string() })).optional(),
      }),
    )
    .max(20_000),
});

/**
 * An image by what its attestations say. Nobody's signature is checked here: whoever relies on the answer verifies the image.
 * @throws McpBuildError `attestation-missing` where it has no SBOM or `server` statement
 */
export async function sideOfImage(store: Store, image: Descriptor, name: string): Promise<Side> {
  const { attestations } = await gather(store, image, { platforms: 'none' });
  const statements = attestations
    .map(({ said }) => (said.kind === 'statement' ? said.statement : undefined))
    .filter((one): one is Statement => one !== undefined);
  const server = statements
    .filter(({ predicateType }) => predicateType === PREDICATES.server)
    .map(({ predicate }) => readServer(predicate))
    .filter((one) => one !== undefined)
    .toSorted((a, b) => Date.parse(b.issued ?? b.created) - Date.parse(a.issued ?? a.created))[0];
  const sbom = statements.find(({ predicateType }) => predicateType === PREDICATES.cyclonedx);
  const parsed = bom.safeParse(sbom?.predicate).data;
  if (!server || !parsed) throw unknown(name);
  const found = new Map<string, PackageSide>();
  for (const { purl, version, licenses, properties } of parsed.components) {
    const ref = refOf(purl ?? '');
    if (ref === undefined) continue;
    const layer = properties?.find((one) => one.name === 'mcp-build:layer')?.value;
    const licences = (licenses ?? []).flatMap(
      ({ expression, license }) => expression ?? license?.id ?? license?.name ?? [],
    );
    add(found, ref, {
      versions: [version ?? ''],
      licences,
      base: layer === 'base' || layer === 'runtime' || layer === 'bridge',
      security: false,
    });
  }
  const { tools, prompts, resources, resourceTemplates } = server;
  const items = {
    tools: tools?.items ?? [],
    prompts: prompts?.items ?? [],
    resources: resources?.items ?? [],
    resourceTemplates: resourceTemplates?.items ?? [],
  };
  return {
    name,
    source: `${server.source.ecosystem}:${server.source.name}`,
    version: server.source.version,
    packages: found,
    permissions: server.permissions,
    offer: tools ? offered(items, ({ digest }) => digest) : undefined,
    sizes: await sizesOf(store, image),
  };
}

/** https://github.com/package-url/purl-spec: `pkg:npm/%40scope/name@1`. */
function refOf(purl: string): string | undefined {
  const match = /^pkg:(npm|pypi|deb)\/(?:debian\/)?([^@?#]+)@/.exec(purl);
  return match ? `${match[1]}:${decodeURIComponent(match[2] ?? '')}` : undefined;
}

async function sizesOf(store: Store, image: Descriptor): Promise<ReadonlyMap<string, number>> {
  const root = parseManifest(await readDocument(store, image), image.mediaType, image.digest);
  if (root.kind !== 'index' || !isIndexType(image.mediaType)) return new Map();
  const sizes = new Map<string, number>();
  for (const one of root.manifests) {
    const platform = `${one.platform?.os}/${one.platform?.architecture}`;
    if (!isPlatform(platform)) continue;
    const manifest = parseManifest(await readDocument(store, one), one.mediaType, one.digest);
    if (manifest.kind === 'image')
      sizes.set(
        platform satisfies Platform,
        manifest.layers.reduce((sum, { size }) => sum + size, 0),
      );
  }
  return sizes;
}

function offered<T>(offer: Offered, what: (item: OfferedItem) => T): ReadonlyMap<string, readonly T[]> {
  const kinds = {
    tools: 'tool',
    prompts: 'prompt',
    resources: 'resource',
    resourceTemplates: 'resource template',
  } as const;
  const found = new Map<string, T[]>();
  for (const kind of Object.keys(kinds) as (keyof typeof kinds)[]) {
    for (const item of offer[kind]) {
      const name = `${kinds[kind]} ${item.name}`;
      found.set(name, [...(found.get(name) ?? []), what(item)]);
    }
  }
  return found;
}

function add(found: Map<string, PackageSide>, ref: string, one: PackageSide): void {
  const known = found.get(ref);
  const union = (a: readonly string[] = [], b: readonly string[] = []) => [...new Set([...a, ...b])].sort();
  found.set(ref, {
    versions: union(known?.versions, one.versions),
    licences: union(known?.licences, one.licences),
    base: (known?.base ?? true) && one.base,
    security: (known?.security ?? false) || one.security,
  });
}

function unknown(input: string): McpBuildError {
  return new McpBuildError({
    code: 'attestation-missing',
    message: `${input} does not say what is in it`,
    input,
    fix: 'Publish it with `mcp-build publish`, or attest it with `mcp-build attest`; or compare locks.',
  });
}
