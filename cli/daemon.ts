import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Command } from 'commander';
import { McpBuildError } from '../errors/index.ts';
import { handedOver, loadConfig, parseConfig, type UnixPlace } from '../gateway/index.ts';
import { openDaemon } from './line/daemon.ts';
import { type Environment, type Home, homeOf } from './line/home.ts';
import { watchFiles } from './line/serve-watch.ts';
import { examples, jsonOption } from './options.ts';
import { terminal } from './terminal.ts';

interface Options {
  readonly config: string;
  readonly socket?: string;
  readonly group?: string;
  readonly locked?: boolean;
  readonly json?: boolean;
}

export function daemonCommand(): Command {
  return new Command('daemon')
    .summary('start verified servers by name, for a gateway that holds no Docker socket')
    .description(
      'Holds the Docker socket, the policy, the keys, the locks and the secrets, and listens on a Unix socket only. Whoever may open that socket\ncan have a server of the configuration started, by its name, and talk to it: not say which image, arguments, permissions or secrets it has.\n`mcp-build serve --daemon <socket>` is what faces the network. A socket that systemd hands over is taken in place of --socket.\nSIGHUP, or a change of the file, takes over a new configuration and verifies everything anew.',
    )
    .requiredOption('--config <file>', 'the servers, as for `serve`; what it says of the gateway isn’t read')
    .option('--socket <path>', 'where to listen; daemon.sock in the state folder without it')
    .option(
      '--group <group>',
      'a group, by name or number, whose members may use the socket; its owner alone without it',
    )
    .option('--locked', 'lock nothing new: what has no lock yet is refused')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        [
          'mcp-build daemon --config daemon.json --socket /run/mcp-build/daemon.sock --group mcp-gateway',
          'for a gateway of another user',
        ],
        ['mcp-build serve --config gateway.json --daemon /run/mcp-build/daemon.sock', 'that gateway'],
      ),
    )
    .action(daemon);
}

async function daemon(options: Options): Promise<void> {
  const out = terminal(options);
  const environment = { ...process.env };
  const home = homeOf(environment);
  const file = resolve(options.config);
  const read = async () => parseConfig(await loadConfig(file), file, environment, 'daemon').servers;
  const servers = await read();
  const place = await placeOf(options, home, environment);
  const running = await openDaemon({
    ...{ home, environment, place, servers },
    locked: options.locked === true,
    progress: out.progress,
    say: out.note,
  });
  const ended = new Promise<void>((done) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => done());
  });
  let last: Promise<void> = running.verified;
  const again = () => {
    last = last.then(async () => {
      try {
        await running.reload(await read());
        out.note('took over the configuration as it is now');
      } catch (error) {
        const { message, fix } = error as McpBuildError;
        out.note(`kept the configuration as it was: ${message}${fix ? ` ${fix}` : ''}`);
      }
    });
  };
  process.on('SIGHUP', again);
  const unwatch = watchFiles([file], again);
  try {
    const where = place.kind === 'path' ? place.path : 'the socket that was handed over';
    out.note(`listening on ${where}`);
    await Promise.race([running.verified, ended]);
    out.clear();
    await out.result({ socket: where, servers: running.names() }, running.names().join('\n'));
    await ended;
  } finally {
    process.off('SIGHUP', again);
    unwatch();
    await running.close();
  }
  process.exit(0);
}

async function placeOf(options: Options, home: Home, environment: Environment): Promise<UnixPlace> {
  const given = handedOver(environment);
  if (given) return given;
  const gid = options.group === undefined ? undefined : await groupId(options.group);
  return { kind: 'path', path: resolve(options.socket ?? join(home.run, 'daemon.sock')), gid };
}

/** @throws McpBuildError `group-unknown` */
async function groupId(group: string): Promise<number> {
  if (/^\d{1,9}$/.test(group)) return Number(group);
  const lines = (await readFile('/etc/group', 'utf8').catch(() => '')).split('\n');
  const found = lines.map((line) => line.split(':')).find(([name]) => name === group)?.[2];
  if (found !== undefined && /^\d{1,9}$/.test(found)) return Number(found);
  throw new McpBuildError({
    code: 'group-unknown',
    message: `This machine's /etc/group has no group "${group}"`,
    input: group,
    fix: `Make it with \`groupadd --system ${group}\`, or give its number.`,
    exit: 2,
  });
}
