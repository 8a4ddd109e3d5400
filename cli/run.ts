import { Command, Option } from 'commander';
import {
  LIMITS,
  type Limits,
  type Permissions,
  parseLimits,
  parseNetwork,
  parsePermissions,
  parseSize,
  parseVolume,
  processSignals,
  runContainer,
  type Volume,
} from '../runner/index.ts';
import { homeOf } from './line/home.ts';
import { publicKeyFile } from './line/keys.ts';
import { environmentValues, sessionOptions, verifiedImage } from './line/start.ts';
import { examples, repeated, usage } from './options.ts';
import { certificatesOption, plainHttpOption, registryOptions } from './push.ts';
import { terminal } from './terminal.ts';

interface Options {
  readonly volume?: readonly Volume[];
  readonly env?: readonly string[];
  readonly allowNet?: Permissions['network'];
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
    .argument('<name|source|image>', 'a name in the local store, npm:… / pypi:…, or an image with its digest')
    .argument('[args...]', 'the server’s own arguments, after --')
    .addOption(
      repeated(
        '--volume <path>',
        'a folder or file the server may see, at the same path; PATH:rw to write, too',
        parseVolume,
      ),
    )
    .addOption(repeated('--env <name>', 'a variable it gets from your environment, or NAME=value', (word) => word))
    .addOption(
      new Option('--allow-net <where>', 'all: whatever this machine can reach').argParser((value) =>
        usage(() => parseNetwork(value)),
      ),
    )
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
  const values = environmentValues(options.env ?? [], environment);
  const permissions = parsePermissions({
    network: options.allowNet ?? 'none',
    volumes: options.volume ?? [],
    environment: Object.keys(values),
  });
  const verified = await verifiedImage(target, {
    home,
    environment,
    ...(options.key ? { keys: await Promise.all(options.key.map(publicKeyFile)) } : {}),
    registry: registryOptions(options),
    progress: out.progress,
    say: out.note,
  });
  out.clear();
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
  const { exitCode } = await runContainer({
    ...session,
    streams: { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr },
    signals: processSignals,
  });
  return exitCode;
}

function limitsOf({ memory, cpus }: Options): Limits {
  if (memory === undefined && cpus === undefined) return LIMITS;
  return parseLimits({ ...(memory === undefined ? {} : { memory }), ...(cpus === undefined ? {} : { cpus }) });
}
