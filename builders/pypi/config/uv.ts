import { join } from 'node:path';
import { parse } from 'smol-toml';
import { z } from 'zod';
import { McpBuildError } from '../../../errors/index.ts';
import { listOf, readOptional, type Surroundings } from './surroundings.ts';

/** An index as a uv setting names it, its URL as it was written. */
export interface UvIndex {
  readonly name: string | undefined;
  readonly url: string;
  readonly isDefault: boolean;
}

export interface UvSettings {
  /** Most important first. Explicit indexes are left out: only a project's `tool.uv.sources` can use them. */
  readonly indexes: readonly UvIndex[];
  readonly noIndex: boolean;
  readonly strategy: string | undefined;
  readonly prerelease: string | undefined;
  readonly resolution: string | undefined;
  readonly systemCertificates: boolean;
  readonly insecureHosts: readonly string[];
  readonly keyring: string | undefined;
  readonly httpProxy: string | undefined;
  readonly httpsProxy: string | undefined;
  readonly noProxy: string | undefined;
  /** In seconds. */
  readonly timeout: number | undefined;
}

const text = z.string().min(1).max(4096);
const indexTable = z.object({
  name: z.string().max(200).optional(),
  url: text,
  default: z.boolean().optional(),
  explicit: z.boolean().optional(),
  format: z.string().optional(),
});
const settings = z.object({
  index: z.array(indexTable).max(100).optional(),
  'index-url': text.optional(),
  'extra-index-url': z.array(text).max(100).optional(),
  'no-index': z.boolean().optional(),
  'index-strategy': z.string().optional(),
  prerelease: z.string().optional(),
  resolution: z.string().optional(),
  'native-tls': z.boolean().optional(),
  'system-certs': z.boolean().optional(),
  'allow-insecure-host': z.array(text).max(100).optional(),
  'keyring-provider': z.string().optional(),
  'http-proxy': text.optional(),
  'https-proxy': text.optional(),
  'no-proxy': z.union([text, z.array(text)]).optional(),
});
// uv's `[pip]` table counts for `uv pip` commands, which is what resolves here; above it for the same field.
const file = settings.extend({ pip: settings.optional() });
const project = z.object({ tool: z.object({ uv: file.optional() }).optional() });
type File = z.infer<typeof settings>;

/** uv's settings in uv's order: variables, then the workspace's, the user's and the system's `uv.toml`. @throws McpBuildError `uv-config-invalid` */
export async function uvSettings(surroundings: Surroundings): Promise<UvSettings> {
  const { environment } = surroundings;
  const files = await uvFiles(surroundings);
  const first = <K extends keyof File>(key: K): File[K] | undefined =>
    files.map((one) => one[key]).find((value) => value !== undefined);
  const indexes: UvIndex[] = [
    ...listOf(environment.UV_INDEX).map((word) => named(word, false)),
    ...(environment.UV_DEFAULT_INDEX ? [named(environment.UV_DEFAULT_INDEX.trim(), true)] : []),
    ...listOf(environment.UV_EXTRA_INDEX_URL).map((url) => ({ name: undefined, url, isDefault: false })),
    ...(environment.UV_INDEX_URL ? [{ name: undefined, url: environment.UV_INDEX_URL.trim(), isDefault: true }] : []),
    ...files.flatMap((one) => (one.index ?? []).flatMap(fromTable)),
    ...(first('extra-index-url') ?? []).map((url) => ({ name: undefined, url, isDefault: false })),
    ...[first('index-url') ?? []].flat().map((url) => ({ name: undefined, url, isDefault: true })),
  ];
  const noProxy = first('no-proxy');
  const timeout = Number(environment.UV_HTTP_TIMEOUT || environment.UV_REQUEST_TIMEOUT || environment.HTTP_TIMEOUT);
  return {
    indexes,
    noIndex: flag(environment.UV_NO_INDEX) ?? first('no-index') ?? false,
    strategy: environment.UV_INDEX_STRATEGY || first('index-strategy'),
    prerelease: environment.UV_PRERELEASE || first('prerelease'),
    resolution: environment.UV_RESOLUTION || first('resolution'),
    systemCertificates:
      flag(environment.UV_SYSTEM_CERTS) ??
      flag(environment.UV_NATIVE_TLS) ??
      first('system-certs') ??
      first('native-tls') ??
      false,
    insecureHosts: environment.UV_INSECURE_HOST
      ? listOf(environment.UV_INSECURE_HOST)
      : (first('allow-insecure-host') ?? []),
    keyring: environment.UV_KEYRING_PROVIDER || first('keyring-provider'),
    httpProxy: first('http-proxy'),
    httpsProxy: first('https-proxy'),
    noProxy: Array.isArray(noProxy) ? noProxy.join(',') : noProxy,
    timeout: Number.isFinite(timeout) && timeout > 0 ? timeout : undefined,
  };
}

function fromTable(table: z.infer<typeof indexTable>): UvIndex[] {
  if (table.explicit) return [];
  if (table.format === 'flat') throw flat(table.name ?? table.url);
  return [{ name: table.name, url: table.url, isDefault: table.default ?? false }];
}

/** `name=url` or `url`, as UV_INDEX has it; an `=` later in a URL is part of it. */
function named(word: string, isDefault: boolean): UvIndex {
  const match = /^([A-Za-z0-9][A-Za-z0-9._-]*)=(.+)$/.exec(word);
  return match ? { name: match[1], url: match[2] ?? '', isDefault } : { name: undefined, url: word, isDefault };
}

function flag(value: string | undefined): boolean | undefined {
  return value === undefined || value === '' ? undefined : /^(?:1|true|yes|on|y|t)$/i.test(value);
}

/** Most important first. */
async function uvFiles({ environment, home, workspace }: Surroundings): Promise<readonly File[]> {
  if (flag(environment.UV_NO_CONFIG)) return [];
  const only = environment.UV_CONFIG_FILE;
  const found: (File | undefined)[] = [];
  if (only) {
    found.push(await tomlFile(only));
  } else {
    if (workspace !== undefined) {
      const own = await tomlFile(join(workspace, 'uv.toml'));
      found.push(own ?? (await projectFile(join(workspace, 'pyproject.toml'))));
    }
    found.push(await tomlFile(join(environment.XDG_CONFIG_HOME || join(home, '.config'), 'uv', 'uv.toml')));
    for (const folder of [...listOf(environment.XDG_CONFIG_DIRS || '/etc/xdg', ':'), '/etc']) {
      const system = await tomlFile(join(folder, 'uv', 'uv.toml'));
      if (system) {
        found.push(system);
        break;
      }
    }
  }
  return found.flatMap((one) => (one ? [one] : []));
}

async function tomlFile(path: string): Promise<File | undefined> {
  const content = await readOptional(path);
  return content === undefined ? undefined : flatten(read(content, path, file));
}

async function projectFile(path: string): Promise<File | undefined> {
  const content = await readOptional(path);
  if (content === undefined) return undefined;
  const uv = read(content, path, project).tool?.uv;
  return uv && flatten(uv);
}

function flatten({ pip, ...rest }: z.infer<typeof file>): File {
  return { ...rest, ...pip, index: [...(rest.index ?? []), ...(pip?.index ?? [])] };
}

function read<T>(content: string, path: string, schema: z.ZodType<T>): T {
  try {
    return schema.parse(parse(content));
  } catch (cause) {
    const issue = cause instanceof z.ZodError ? cause.issues[0] : undefined;
    // The parser's own message quotes the line, which may hold a password.
    throw new McpBuildError({
      code: 'uv-config-invalid',
      message: `${path} can't be read as uv's configuration${issue ? `: at ${issue.path.join('.') || 'its root'}, ${issue.message}` : ''}`,
      input: path,
      fix: 'Correct the file; `uv pip compile --show-settings` shows how uv reads it.',
      exit: 2,
    });
  }
}

function flat(name: string): McpBuildError {
  return new McpBuildError({
    code: 'index-unsupported',
    message: `Index ${name.replace(/\/\/[^/@]*@/, '//')} is a flat list of files; only indexes with the simple API are read`,
    fix: 'Serve the files as a simple index (PEP 503), or leave this index out.',
    exit: 2,
  });
}
