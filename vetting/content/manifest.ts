import { z } from 'zod';
import type { Contents } from './contents.ts';

const words = z.record(z.string(), z.unknown()).catch({});
const schema = z.object({
  name: z.string().max(300).optional().catch(undefined),
  version: z.string().max(300).optional().catch(undefined),
  license: z.unknown().optional(),
  /** As packages of before 2014 write it. */
  licenses: z.unknown().optional(),
  repository: z.unknown().optional(),
  mcpName: z.string().max(300).optional().catch(undefined),
  scripts: words,
  dependencies: words,
  optionalDependencies: words,
});

export type Manifest = Pick<Contents, 'scripts' | 'exotic'> &
  Partial<Pick<Contents, 'name' | 'version' | 'license' | 'repository' | 'serverName'>>;

const SCRIPTS = ['preinstall', 'install', 'postinstall'] as const;

/** What vetting needs of a package.json; what isn't one says nothing, and that it says nothing is then the finding. */
export function readManifest(bytes: Buffer): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8').replace(/^\ufeff/, ''));
  } catch {
    return { scripts: {}, exotic: [] };
  }
  const parsed = schema.safeParse(value).data;
  if (!parsed) return { scripts: {}, exotic: [] };
  const license = licenseOf(parsed.license) ?? licenseOf(parsed.licenses);
  const repository = repositoryOf(parsed.repository);
  const { name, version, mcpName } = parsed;
  return {
    scripts: Object.fromEntries(
      SCRIPTS.flatMap((script) => {
        const command = parsed.scripts[script];
        return typeof command === 'string' && command !== '' ? [[script, command.slice(0, 1000)]] : [];
      }),
    ),
    exotic: Object.entries({ ...parsed.dependencies, ...parsed.optionalDependencies })
      .filter((entry): entry is [string, string] => typeof entry[1] === 'string' && isExotic(entry[1]))
      .slice(0, 50)
      .map(([dependency, spec]) => ({ name: dependency.slice(0, 300), spec: spec.slice(0, 300) })),
    ...(name === undefined ? {} : { name }),
    ...(version === undefined ? {} : { version }),
    ...(license === undefined ? {} : { license }),
    ...(repository === undefined ? {} : { repository }),
    ...(mcpName === undefined ? {} : { serverName: mcpName }),
  };
}

/** Anything that npm would not look up in a registry: git, addresses, folders, other people's protocols. */
function isExotic(spec: string): boolean {
  if (spec.startsWith('npm:')) return false;
  return /^(?:[a-z][a-z+]*:|\.{0,2}\/|~\/|[\w.-]+\/[\w.-]+(?:#|$))/i.test(spec.trim());
}

function licenseOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value.slice(0, 200);
  const list = Array.isArray(value) ? value : [value];
  const types = list.map((one) => (one as { type?: unknown } | null)?.type).filter((one) => typeof one === 'string');
  return types.length > 0 ? types.join(' OR ').slice(0, 200) : undefined;
}

function repositoryOf(value: unknown): string | undefined {
  const url = typeof value === 'string' ? value : (value as { url?: unknown } | null | undefined)?.url;
  return typeof url === 'string' ? url.slice(0, 500) : undefined;
}
