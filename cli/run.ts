import { Command, Option } from 'commander';
import { looksLikeServerJson, looksLikeSource, parseSource } from '../builders/index.ts';
import { isFault, McpBuildError } from '../errors/index.ts';
import { readBounded } from '../files/index.ts';
import {
  CONFIG_FILE,
  LIMITS,
  type Limits,
  type Log,
  openLog,
  type Permissions,
  parseLimits,
  parseNetwork,
  parsePermissions,
  parseSize,
  parseVolume,
  processSignals,
  resolveSecret,
  runContainer,
  type Volume,
} from '../runner/index.ts';
import { type Environment, homeOf } from './line/home.ts';
import { publicKeyFile } from './line/keys.ts';
import { requireGiven } from './line/launch.ts';
import { preparedInBackground } from './line/prepare.ts';
import { environmentValues, logFolder, runtimeOf, sessionOptions, verifiedImage } from './line/start.ts';
import { examples, packageOption, repeated, usage } from './options.ts';
import { certificatesOption, plainHttpOption, registryOptions } from './push.ts';
import { terminal } from './terminal.ts';

interface Options {
  readonly volume?: readonly Volume[];
  readonly package?: string;
  readonly env?: readonly string[];
  readonly secret?: readonly string[];
  readonly config?: string;
  readonly allowNet?: Permissions['network'];
  readonly learn?: boolean;
  readonly bin?: string;
  readonly key?: readonly string[];
  readonly memory?: number;
  readonly cpus?: number;
  readonly plainHttp?: boolean;
  readonly certs?: string;
}

export function runCommand(): Command {
  return new Command('run')
    .summary('start a server that verifies, in place of `npx -y` or `uvx`')
    .description(
      'Starts a server between this stdin and stdout, as `npx -y <package>` or `uvx <project>` would, but from a pinned image that\nhas just been verified, in a container without network, capabilities, root or a writable file system. A source is locked,\nbuilt and signed on first use; after that no network is needed. What the server may reach beyond that is what you name here.',
    )
    .argument(
      '<name|source|image>',
      'a name in the local store, npm:…, pypi:…, a server.json, or an image with its digest',
    )
    .argument('[args...]', 'the server’s own arguments, after --')
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
    .addOption(
      new Option(
        '--learn',
        'let it reach the internet, and print at its end which destinations it asked for',
      ).conflicts('allowNet'),
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
    .addOption(certificatesOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build run npm:@modelcontextprotocol/server-memory', 'where `npx -y` stood'],
        ['mcp-build run npm:@modelcontextprotocol/server-filesystem --volume /data:rw -- /data', 'with a folder'],
        ['mcp-build run pypi:mcp-server-fetch --allow-net all', 'with the network'],
        [
          'mcp-build run npm:some-server --allow-net api.example.com:443 --secret TOKEN=op://vault/item/token',
          'with one destination and a secret from a password manager',
        ],
        ['mcp-build run npm:some-server --env API_KEY', 'with a variable of yours'],
      ),
    )
    .action(async (target: string, args: readonly string[], options: Options) => {
      process.exitCode = await run(target, args, options);
    });
}

async function run(target: string, args: readonly string[], options: Options): Promise<number> {
  const out = terminal({});
  const environment = { ...process.env };
  const home = homeOf(environment);
  const values = {
    ...environmentValues(options.env ?? [], environment),
    ...(await secretValues(options.secret ?? [], environment)),
  };
  const permissions = parsePermissions({
    network: options.allowNet ?? 'none',
    volumes: options.volume ?? [],
    environment: Object.keys(values),
  });
  const isPackage = looksLikeSource(target) && !looksLikeServerJson(target);
  if (isPackage) parseSource(target);
  // Minutes of locking and building would be for nothing.
  await (await runtimeOf(environment)).facts();
  if (isPackage)
    await preparedInBackground(target, {
      home,
      environment,
      bin: options.bin,
      progress: out.progress,
      say: out.note,
    });
  const verified = await verifiedImage(target, {
    home,
    environment,
    bin: options.bin,
    ...(options.key ? { keys: await Promise.all(options.key.map(publicKeyFile)) } : {}),
    registry: registryOptions(options),
    package: options.package,
    progress: out.progress,
    say: out.note,
  });
  out.clear();
  requireGiven(verified.launch, values, args);
  const session = await sessionOptions({
    verified,
    home,
    environment,
    permissions,
    values,
    args,
    limits: limitsOf(options),
    say: out.note,
  });
  const learned = new Set<string>();
  let log: Promise<Log | undefined> = Promise.resolve(undefined);
  const { exitCode } = await runContainer({
    ...session,
    ...(options.config ? { files: [{ target: CONFIG_FILE, content: await configFile(options.config) }] } : {}),
    ...(options.learn ? { learn: true } : {}),
    onStarted: (container) => {
      // A log is no reason not to run.
      log = openLog(logFolder(home), container).catch(() => undefined);
    },
    log: (bytes) => void log.then((open) => open?.write(bytes)),
    onDecision: ({ host, port, allowed, reason }) => {
      if (options.learn) learned.add(`${host}:${port}`);
      else if (!allowed) out.note(`refused ${host}:${port} (${reason}); --allow-net ${host}:${port} would allow it`);
    },
    streams: { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr },
    signals: processSignals,
  });
  if (options.learn)
    out.note(
      learned.size === 0 ? 'it reached for nothing' : `it reached for --allow-net ${[...learned].sort().join(',')}`,
    );
  return exitCode;
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

function limitsOf({ memory, cpus }: Options): Limits {
  if (memory === undefined && cpus === undefined) return LIMITS;
  return parseLimits({ ...(memory === undefined ? {} : { memory }), ...(cpus === undefined ? {} : { cpus }) });
}
