import { spawn } from 'node:child_process';
import { chmod, chown, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { McpBuildError } from '../errors/index.ts';
import { makeFolders, readBounded, writeAtomic } from '../files/index.ts';
import { loadConfig, parseConfig } from '../gateway/index.ts';
import { openDaemon } from './line/daemon.ts';
import { type Halves, splitConfig, tlsBelow, tlsNames } from './line/deploy/split.ts';
import { type Environment, homeOf } from './line/home.ts';
import { mainProgram } from './line/program.ts';
import { watchFiles } from './line/serve-watch.ts';
import { examples, jsonOption } from './options.ts';
import { terminal } from './terminal.ts';

interface Options {
  readonly config: string;
  readonly as: User;
  readonly state?: string;
  readonly locked?: boolean;
  readonly json?: boolean;
}

interface User {
  readonly uid: number;
  readonly gid: number;
}

/** In bytes. */
const CERTIFICATE_LIMIT = 1024 * 1024;

export function upCommand(): Command {
  return new Command('up')
    .summary('a whole gateway by one command: a daemon, and below it what faces the network')
    .description(
      'For a container or a machine where one command is all there is. Started as root with Docker’s socket, it takes the config.json of a gateway apart,\nis the daemon (see `daemon`), and starts the gateway (see `serve`) as a user without any group, which can open neither Docker’s socket nor the state,\nand has no secret of a server. A change of the file, or SIGHUP, is taken over by both. Two users of your own, or two containers, are better walls:\nsee `deploy`.',
    )
    .requiredOption('--config <file>', 'the configuration of a gateway, as for `serve`')
    .addOption(
      new Option('--as <uid[:gid]>', 'who faces the network; by number, and neither is 0')
        .default({ uid: 65_532, gid: 65_532 }, '65532')
        .argParser((value: string): User => {
          const [, uid, gid = uid] = /^([1-9]\d{0,8})(?::([1-9]\d{0,8}))?$/.exec(value) ?? [];
          if (uid === undefined) throw new InvalidArgumentError('Give a number, or two with a colon; not 0.');
          return { uid: Number(uid), gid: Number(gid) };
        }),
    )
    .option('--state <folder>', 'where both keep their state; beside the configuration without it')
    .option('--locked', 'lock nothing new: what has no lock yet is refused')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        [
          'docker run -d --init -p 443:443 -v /var/run/docker.sock:/var/run/docker.sock -v /srv/mcp:/srv/mcp --user 0 IMAGE up --config /srv/mcp/config.json',
          'on a server; the folder has the same name inside as outside',
        ],
        ['mcp-build up --config /srv/mcp/config.json --as 1234', 'without a container'],
      ),
    )
    .action(up);
}

async function up(options: Options): Promise<void> {
  const out = terminal(options);
  const { uid, gid } = options.as;
  if (process.getuid?.() !== 0) throw notRoot();
  const file = resolve(options.config);
  const folder = resolve(options.state ?? dirname(file));
  const at = (name: string) => join(folder, name);
  // Docker mounts from these what a server is given: they have to be where the machine has them, too.
  const environment = { ...process.env, MCP_BUILD_HOME: at('daemon'), XDG_RUNTIME_DIR: at('private') };
  const home = homeOf(environment);
  const socket = join(at('socket'), 'daemon.sock');
  for (const name of ['daemon', 'private']) {
    await makeFolders(at(name), 0o700);
    // One that was there may have been open to others.
    await chmod(at(name), 0o700);
  }
  await makeFolders(at('socket'), 0o750);
  await chown(at('socket'), 0, gid);
  await ownFolder(at('gateway'), options.as);
  const read = async () => {
    const halves = splitConfig(await loadConfig(file), file, environment);
    return { halves, servers: parseConfig(JSON.stringify(halves.daemon), file, environment, 'daemon').servers };
  };
  const first = await read();
  await writeGateway(at('gateway'), first.halves, options.as);
  const daemon = await openDaemon({
    ...{ home, environment, servers: first.servers },
    place: { kind: 'path', path: socket, gid },
    locked: options.locked === true,
    progress: out.progress,
    say: out.note,
  });
  const { command, args } = mainProgram();
  const config = join(at('gateway'), 'gateway.json');
  const serve = ['serve', '--config', config, '--daemon', socket];
  const child = spawn(command, [...args, ...serve, ...(options.json ? ['--json'] : [])], {
    cwd: '/',
    uid,
    gid,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: {
      ...named(first.halves.gateway, environment),
      HOME: at('gateway'),
      MCP_BUILD_HOME: at('gateway'),
      PATH: '/usr/bin:/bin',
    },
  });
  const ended = new Promise<number>((done) => {
    child.once('error', () => done(1));
    child.once('close', (code) => done(code ?? 1));
  });
  let last: Promise<void> = daemon.verified;
  const again = () => {
    last = last.then(async () => {
      try {
        const next = await read();
        // The gateway watches its own file.
        await writeGateway(at('gateway'), next.halves, options.as);
        await daemon.reload(next.servers);
      } catch (error) {
        const { message, fix } = error as McpBuildError;
        out.note(`kept the configuration as it was: ${message}${fix ? ` ${fix}` : ''}`);
      }
    });
  };
  const { tls } = first.halves;
  const unwatch = watchFiles([file, ...(tls ? [tls.cert, tls.key] : [])], again);
  process.on('SIGHUP', again);
  let stopped = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      stopped = true;
      child.kill('SIGTERM');
    });
  }
  // Without what faces the network the daemon is of no use: whoever started this starts it again.
  const code = await ended;
  unwatch();
  await daemon.close();
  await rm(socket, { force: true });
  process.exit(stopped ? 0 : code);
}

/** The gateway's half, and its certificate, where only its user can read them. */
async function writeGateway(folder: string, { gateway, tls }: Halves, user: User): Promise<void> {
  const at = join(folder, 'tls');
  if (tls) {
    await ownFolder(at, user);
    for (const { name, path } of tlsNames(tls)) {
      const inside = join(at, name);
      await writeAtomic(inside, await readBounded(path, CERTIFICATE_LIMIT), 0o400);
      await chown(inside, user.uid, user.gid);
    }
  }
  const mcpProxy = { ...(gateway.mcpProxy as object), ...(tls ? { tls: tlsBelow(at, tls) } : {}) };
  const path = join(folder, 'gateway.json');
  // Before it has its name: the gateway takes it over as soon as it sees it.
  const fresh = join(folder, 'gateway.json.new');
  await writeAtomic(fresh, `${JSON.stringify({ ...gateway, mcpProxy }, undefined, 2)}\n`, 0o600);
  await chown(fresh, user.uid, user.gid);
  await rename(fresh, path);
}

async function ownFolder(folder: string, { uid, gid }: User): Promise<void> {
  await makeFolders(folder, 0o700);
  await chown(folder, uid, gid);
}

/** The variables that its half names, and no other: servers' secrets are among the rest. */
function named(gateway: object, environment: Environment): Record<string, string> {
  const names = [...JSON.stringify(gateway).matchAll(/\$\{([A-Za-z_]\w*)\}/g)].map((match) => match[1] ?? '');
  return Object.fromEntries(
    names.flatMap((name) => (environment[name] === undefined ? [] : [[name, environment[name]]])),
  );
}

function notRoot(): McpBuildError {
  return new McpBuildError({
    code: 'not-root',
    message: 'Only root can start the gateway as another user',
    fix: 'Start `mcp-build daemon` and `mcp-build serve --daemon` as two users: see `mcp-build deploy systemd`.',
    exit: 2,
  });
}
