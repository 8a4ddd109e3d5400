import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { looksLikeFile, looksLikeServerJson, looksLikeSource, parseSource } from '../builders/index.ts';
import { sha256 } from '../digest/index.ts';
import { isFault, McpBuildError } from '../errors/index.ts';
import { readBounded } from '../files/index.ts';
import {
  CONFIG_FILE,
  canonicalJson,
  LIMITS,
  type Limits,
  type Permissions,
  type Private,
  parseLimits,
  parseNetwork,
  parsePermissions,
  parseSize,
  parseVolume,
  resolveSecret,
  type Volume,
} from '../runner/index.ts';
import type { Environment } from './line/home.ts';
import { environmentValues } from './line/start.ts';
import { packageOption, repeated, usage } from './options.ts';
import { certificatesOption, plainHttpOption } from './registry.ts';

/** What is said of a server the same way to `run` and to `start`. */
export interface WantedOptions {
  readonly volume?: readonly Volume[];
  readonly env?: readonly string[];
  readonly secret?: readonly string[];
  readonly config?: string;
  readonly allowNet?: Permissions['network'];
  readonly bin?: string;
  readonly package?: string;
  readonly key?: readonly string[];
  readonly memory?: number;
  readonly cpus?: number;
  readonly plainHttp?: boolean;
  readonly certs?: string;
}

/** Adds the flags of `WantedOptions`. */
export function wantedOptions(command: Command): Command {
  return command
    .addOption(packageOption())
    .addOption(
      repeated(
        '--volume <path>',
        'a folder or file the server may see, at the same path; PATH:rw to write, too',
        parseVolume,
      ),
    )
    .addOption(repeated('--env <name>', 'a variable it gets from your environment, or NAME=value', (word) => word))
    .addOption(
      repeated(
        '--secret <NAME=source>',
        'a variable whose value is kept elsewhere: file:/path, keyring:service/account, op://…, exec:command',
        (word) => word,
      ),
    )
    .addOption(new Option('--config <file>', `a file of yours that the server gets as ${CONFIG_FILE}`))
    .addOption(
      new Option(
        '--allow-net <where>',
        'destinations (host:port,*.example.com:443), or all: whatever this machine can reach',
      ).argParser((value) => usage(() => parseNetwork(value))),
    )
    .option('--bin <name>', 'which command of a source’s package, where it has several')
    .addOption(repeated('--key <file>', 'public key to trust; by default your own', (word) => word))
    .addOption(
      new Option('--memory <size>', 'most memory, as in 512m or 2g').argParser((value) =>
        usage(() => parseSize(value)),
      ),
    )
    .addOption(new Option('--cpus <number>', 'most processors').argParser(Number))
    .addOption(plainHttpOption())
    .addOption(certificatesOption());
}

/** A server and the walls it is wanted behind. */
export interface Wanted {
  readonly target: string;
  readonly bin: string | undefined;
  /** Which package of a server.json. */
  readonly part: string | undefined;
  readonly args: readonly string[];
  readonly permissions: Permissions;
  readonly values: Readonly<Record<string, string>>;
  readonly limits: Limits;
  readonly files: readonly Private[];
  readonly keys: readonly string[] | undefined;
  /** Of all of it: two that agree get the same container. */
  readonly fingerprint: string;
}

/** @throws McpBuildError `environment-missing`, `secret-invalid`, `secret-unavailable`, `file-unreadable`, `source-invalid`, … */
export async function wanted(
  target: string,
  args: readonly string[],
  options: WantedOptions,
  environment: Environment,
): Promise<Wanted> {
  const values = {
    ...environmentValues(options.env ?? [], environment),
    ...(await secretValues(options.secret ?? [], environment)),
  };
  const permissions = parsePermissions({
    network: options.allowNet ?? 'none',
    volumes: options.volume ?? [],
    environment: Object.keys(values),
  });
  if (looksLikeSource(target) && !looksLikeServerJson(target) && !looksLikeFile(target)) parseSource(target);
  const limits = limitsOf(options);
  const files = options.config ? [{ target: CONFIG_FILE, content: await configFile(options.config) }] : [];
  const keys = options.key?.map((path) => resolve(path));
  const config = files.map(({ content }) => sha256(content));
  const { bin, package: part } = options;
  const fingerprint = sha256(canonicalJson({ target, bin, part, args, permissions, values, limits, config, keys }));
  return { target, bin, part, args, permissions, values, limits, files, keys, fingerprint };
}

/** In bytes. */
const CONFIG_LIMIT = 1024 * 1024;

async function configFile(path: string): Promise<Uint8Array> {
  return readBounded(path, CONFIG_LIMIT).catch((cause: NodeJS.ErrnoException) => {
    if (isFault(cause)) throw cause;
    throw new McpBuildError({
      code: 'file-unreadable',
      message: `${path} can't be read: ${cause.code}`,
      input: path,
      fix: 'Check the path.',
      exit: 2,
    });
  });
}

/** @throws McpBuildError `secret-invalid`, `secret-unavailable` */
async function secretValues(words: readonly string[], environment: Environment): Promise<Record<string, string>> {
  const values: Record<string, string> = {};
  for (const word of words) {
    const [name = '', ...reference] = word.split('=');
    values[name] = await resolveSecret(reference.join('='), { environment });
  }
  return values;
}

function limitsOf({ memory, cpus }: WantedOptions): Limits {
  if (memory === undefined && cpus === undefined) return LIMITS;
  return parseLimits({ ...(memory === undefined ? {} : { memory }), ...(cpus === undefined ? {} : { cpus }) });
}
