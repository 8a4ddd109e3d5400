import { text } from 'node:stream/consumers';
import { Command, InvalidArgumentError, Option } from 'commander';
import { McpBuildError } from '../errors/index.ts';
import {
  askKeeper,
  listKept,
  NO_PERMISSIONS,
  parsePermissions,
  processSignals,
  type Restart,
  restartKeeper,
  runSession,
  type Session,
  takeKept,
} from '../runner/index.ts';
import { homeOf } from './line/home.ts';
import { type KeeperInput, runKeeper, startKeeper } from './line/keeper.ts';
import { keptFolder, keptNamed } from './line/kept.ts';
import { publicKeyFile } from './line/keys.ts';
import { requireGiven } from './line/launch.ts';
import { refuseBeyond, runtimeOf, verifiedImage } from './line/start.ts';
import { examples, jsonOption } from './options.ts';
import { registryOptions } from './registry.ts';
import { terminal } from './terminal.ts';
import { type WantedOptions, wanted, wantedOptions } from './wanted.ts';

interface Options extends WantedOptions {
  readonly detach?: boolean;
  readonly name?: string;
  readonly ready: number;
  readonly idle: number;
  readonly restart: Restart;
  readonly keeper?: boolean;
  readonly json?: boolean;
}

const NAME = /^[a-z0-9][a-z0-9._-]{0,40}$/;

export function startCommand(): Command {
  return wantedOptions(new Command('start'))
    .summary('keep a server started ahead, so that the next `run` of it begins at once')
    .description(
      'Starts a server before its client comes. The next `run` of the same source with the same flags, or `attach` by name, gets one that\nis up already, and another is started in its place. Each start is verified as `run` verifies: also after the server ended, after the\nDocker daemon was restarted, and again by the client that takes it. Nothing listens on a network: clients come by a socket in\nthe state folder, which is yours alone. Without --detach it stays in the foreground, as service managers like it.',
    )
    .argument('[name|source|image]', 'as for `run`')
    .argument('[args...]', 'the server’s own arguments, after --')
    .option('--detach', 'stay in the background, until `stop`')
    .addOption(
      new Option('--name <name>', 'what it is called; the server’s name by default').argParser((value: string) => {
        if (NAME.test(value)) return value;
        throw new InvalidArgumentError('Use a-z, 0-9, dots, dashes and underscores, 41 at most.');
      }),
    )
    .addOption(
      new Option('--ready <number>', 'how many wait for clients at the same time').default(1).argParser((value) => {
        const number = Number(value);
        if (Number.isInteger(number) && number >= 1 && number <= 50) return number;
        throw new InvalidArgumentError('Give a number from 1 to 50.');
      }),
    )
    .addOption(
      new Option('--idle <duration>', 'stop those that wait when none was used for so long, as in 30m; 0 never does')
        .default(0, 'never')
        .argParser(duration),
    )
    .addOption(
      new Option('--restart <when>', 'start one again that ended while it waited: always, on-failure[:times], no')
        .default({ when: 'always' }, 'always')
        .argParser(restart),
    )
    .addOption(new Option('--keeper').hideHelp())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build start --detach npm:@modelcontextprotocol/server-memory', 'one that waits'],
        ['mcp-build run npm:@modelcontextprotocol/server-memory', 'takes it'],
        ['mcp-build start --detach npm:some-server --name work --secret TOKEN=op://vault/item/token', 'with a secret'],
        ['mcp-build attach work', 'takes that, and needs to know no secret'],
        ['mcp-build start pypi:mcp-server-time --ready 3 --idle 30m', 'three, in the foreground'],
      ),
    )
    .action(async (target: string | undefined, args: readonly string[], options: Options) => {
      if (options.keeper) return keeper();
      await start(target, args, options);
    });
}

async function start(target: string | undefined, args: readonly string[], options: Options): Promise<void> {
  if (target === undefined) {
    throw new McpBuildError({
      code: 'usage',
      message: 'Nothing is named to be started',
      fix: 'Name a source, an image or a server of the local store.',
      exit: 2,
    });
  }
  const out = terminal(options);
  const environment = { ...process.env };
  const home = homeOf(environment);
  const want = await wanted(target, args, options, environment);
  await (await runtimeOf(environment)).facts();
  // Here, where somebody sees how far it is; the keeper does it again before each start.
  const verified = await verifiedImage(target, {
    home,
    environment,
    bin: options.bin,
    package: options.package,
    ...(want.keys ? { keys: await Promise.all(want.keys.map(publicKeyFile)) } : {}),
    registry: registryOptions(options),
    progress: out.progress,
    say: out.note,
  });
  out.clear();
  refuseBeyond(verified, want.permissions, target);
  requireGiven(verified.launch, want.values, args);
  const name = options.name ?? plain(verified.server.name);
  for (const record of await listKept(keptFolder(home))) {
    if (record.name === name && (await askKeeper(keptFolder(home), record))) throw nameTaken(name, record.target);
  }
  const input: KeeperInput = {
    ...want,
    name,
    files: want.files.map(({ target, content }) => ({ target, content: Buffer.from(content).toString('base64') })),
    registry: registryOptions(options),
    size: options.ready,
    restart: options.restart,
    idle: options.idle,
  };
  if (!options.detach) {
    out.note(`keeps ${target} ready as "${name}"; what it does: mcp-build logs --follow ${name}`);
    return runKeeper(input, home, environment);
  }
  const { pid, ready } = await startKeeper(input, home);
  await out.result({ name, target, pid, ready }, `${name} is ready (process ${pid})`);
}

/** What `start --detach` has begun: the values of secrets come through a pipe, not as arguments or variables. */
async function keeper(): Promise<void> {
  const environment = { ...process.env };
  await runKeeper(JSON.parse(await text(process.stdin)) as KeeperInput, homeOf(environment), environment);
  // Whatever a client that is stopped still holds open.
  process.exit(0);
}

export function attachCommand(): Command {
  return new Command('attach')
    .summary('be the client of a server that was started ahead')
    .description(
      'Connects this stdin and stdout to a server that `start` keeps ready, with the permissions and secrets that were given there. It is\nverified again before it is used. Exits as the server does.',
    )
    .argument('<name>', 'as `ps` shows it')
    .addHelpText('after', examples(['mcp-build attach server-memory', 'in a client’s configuration, as its command']))
    .action(async (name: string) => {
      const out = terminal({});
      const environment = { ...process.env };
      const home = homeOf(environment);
      const record = await keptNamed(home, name);
      const { keys, registry, bin, part, permissions } = record.verify;
      const { plainHttp, certificates: certs } = registry;
      const verified = await verifiedImage(record.target, {
        home,
        environment,
        bin,
        package: part,
        ...(keys ? { keys: await Promise.all(keys.map(publicKeyFile)) } : {}),
        registry: registryOptions({ ...(plainHttp ? { plainHttp } : {}), ...(certs ? { certs } : {}) }),
        progress: out.progress,
        say: out.note,
      });
      out.clear();
      // The policy may have become narrower since it was started.
      refuseBeyond(verified, parsePermissions(permissions), record.target);
      const session = await taken(name, () => takeKept(record, { digest: verified.image.digest }));
      const streams = { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr };
      const { server, pins } = verified;
      const driven = { server, pins, permissions: NO_PERMISSIONS, environment: {}, say: out.note };
      const ends = { streams, signals: processSignals };
      process.exitCode = (await runSession({ ...driven, ...ends }, async () => session)).exitCode;
    });
}

/** For one to be up that isn't yet, in milliseconds. */
const ATTACH_TIMEOUT = 60_000;

async function taken(name: string, take: () => Promise<Session | undefined>): Promise<Session> {
  for (const begun = Date.now(); Date.now() - begun < ATTACH_TIMEOUT; ) {
    const session = await take();
    if (session) return session;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new McpBuildError({
    code: 'not-ready',
    message: `"${name}" has had no server ready for ${ATTACH_TIMEOUT / 1000} s`,
    input: name,
    fix: `See why with \`mcp-build logs ${name}\`.`,
  });
}

export function restartCommand(): Command {
  return new Command('restart')
    .summary('start anew what waits for its client')
    .description(
      'Stops the servers that wait under a name, verifies again, and starts new ones. One that has a client is left to it.',
    )
    .argument('<name>', 'as `ps` shows it')
    .addOption(jsonOption())
    .addHelpText('after', examples(['mcp-build restart server-memory', 'after an update, or a change of the policy']))
    .action(async (name: string, options: { readonly json?: boolean }) => {
      await restartKeeper(await keptNamed(homeOf({ ...process.env }), name));
      await terminal(options).result({ restarted: name }, `${name} is started anew`);
    });
}

function plain(name: string): string {
  const word = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+/, '')
    .slice(0, 40)
    .replace(/-+$/, '');
  return word || 'server';
}

/** @returns milliseconds */
function duration(value: string): number {
  const [, number, unit = 's'] = /^(\d{1,6})(s|m|h)?$/.exec(value) ?? [];
  const seconds = Number(number) * { s: 1, m: 60, h: 3600 }[unit as 's' | 'm' | 'h'];
  if (number === undefined || seconds > 7 * 24 * 3600)
    throw new InvalidArgumentError('Give seconds, or a number with s, m or h, a week at most.');
  return seconds * 1000;
}

function restart(value: string): Restart {
  if (value === 'always' || value === 'no') return { when: value };
  const [, times = '5'] = /^on-failure(?::(\d{1,4}))?$/.exec(value) ?? [];
  if (!value.startsWith('on-failure') || !/^on-failure(:\d{1,4})?$/.test(value))
    throw new InvalidArgumentError('Give always, on-failure, on-failure:<times> or no.');
  return { when: 'on-failure', most: Number(times) };
}

function nameTaken(name: string, target: string): McpBuildError {
  return new McpBuildError({
    code: 'name-taken',
    message: `"${name}" is kept ready already, for ${target}`,
    input: name,
    fix: `Choose another with --name, or end it first: mcp-build stop ${name}`,
    exit: 2,
  });
}
