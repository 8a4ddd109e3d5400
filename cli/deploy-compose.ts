import { chown, stat } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { makeFolders } from '../files/index.ts';
import { loadConfig } from '../gateway/index.ts';
import { COMPOSE_FOLDERS, COMPOSE_IDS, composeFiles } from './line/deploy/compose.ts';
import { splitConfig, type TlsPaths, tlsNames } from './line/deploy/split.ts';
import { shown, writeTree } from './line/deploy/tree.ts';
import { examples, jsonOption } from './options.ts';
import { terminal } from './terminal.ts';

interface Flags {
  readonly config: string;
  readonly image: string;
  readonly to?: string;
  readonly replace?: boolean;
  readonly dockerSocket: string;
  readonly publish: string;
  readonly locked?: boolean;
  readonly json?: boolean;
}

export function deployComposeCommand(): Command {
  return new Command('compose')
    .summary('a compose file: a container that holds Docker’s socket, and one that faces the network')
    .description(
      'Takes a gateway’s config.json apart (what is started, and who may call it) and writes a compose file with two containers of mcp-build’s own image. Only the one without any port has Docker’s socket. Without --to the compose file is only printed.',
    )
    .requiredOption('--config <file>', 'the configuration of a gateway, as for `serve`')
    .addOption(
      new Option('--image <reference>', 'mcp-build’s own image, by digest or id')
        .makeOptionMandatory()
        .argParser((value: string) => {
          if (/^(?:[\w.:/-]+@)?sha256:[0-9a-f]{64}$/.test(value)) return value;
          throw new InvalidArgumentError('Name it by digest (…@sha256:…): a tag may be another image tomorrow.');
        }),
    )
    .option('--to <folder>', 'write everything into this folder, and keep state there')
    .option('--replace', 'write anew what is there and differs')
    .option('--docker-socket <path>', 'Docker’s socket on this machine', '/var/run/docker.sock')
    .addOption(
      new Option('--publish <address>', 'the address of this machine that is listened to')
        .default('0.0.0.0')
        .argParser((value: string) => {
          if (/^[0-9.]+$|^\[[0-9a-f:]+\]$/.test(value)) return value;
          throw new InvalidArgumentError('Give an IP address, in brackets where it has colons.');
        }),
    )
    .option('--locked', 'the daemon locks nothing new, and has no network')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        [
          'mcp-build deploy compose --config config.json --to /srv/mcp --image registry.example.com/mcp/mcp-build@sha256:…',
          'two containers',
        ],
        ['docker compose -f /srv/mcp/compose.yaml run --rm gateway token create phone', 'a token for a client'],
        ['docker compose -f /srv/mcp/compose.yaml up -d', 'start them'],
      ),
    )
    .action(async (flags: Flags) => {
      const out = terminal(flags);
      const { image, publish, dockerSocket: socket, locked = false } = flags;
      const file = resolve(flags.config);
      const halves = splitConfig(await loadConfig(file), file, { ...process.env });
      const folder = resolve(flags.to ?? '/srv/mcp-build');
      if (!isAbsolute(socket)) throw new InvalidArgumentError('--docker-socket is not absolute.');
      const dockerGroup = (await stat(socket).catch(() => undefined))?.gid;
      const files = composeFiles({ halves, image, folder, socket, dockerGroup, publish, locked });
      if (flags.to === undefined) {
        const open = files.filter(({ mode }) => mode === 0o644);
        await out.result({ files: open.map(({ path, text }) => ({ path, text })) }, shown(open));
        return;
      }
      for (const { path, mode } of COMPOSE_FOLDERS) await makeFolders(join(folder, path), mode);
      const written = await writeTree(folder, files, flags.replace === true);
      const owned = await own(folder);
      const compose = `docker compose -f ${join(folder, 'compose.yaml')}`;
      const steps = [
        ...owned,
        ...(halves.tls ? [tlsStep(folder, halves.tls)] : []),
        `${compose} run --rm gateway token create phone`,
        `${compose} up -d`,
      ];
      await out.result(
        { written, steps },
        [...written.map((path) => `wrote ${path}`), '', 'then, as root:', ...steps.map((step) => `  ${step}`)].join(
          '\n',
        ),
      );
    });
}

/** Gives each container what is its own. @returns what is left to be done where only root may */
async function own(folder: string): Promise<readonly string[]> {
  const { socket } = COMPOSE_IDS;
  const files = [
    ...COMPOSE_FOLDERS.map(({ path, owner }) => ({ path, owner })),
    { path: 'daemon/config/daemon.json', owner: COMPOSE_IDS.daemon },
    { path: 'gateway/config/gateway.json', owner: COMPOSE_IDS.gateway },
  ];
  if (process.getuid?.() === 0) {
    for (const { path, owner } of files) await chown(join(folder, path), owner, socket);
    return [];
  }
  return [COMPOSE_IDS.daemon, COMPOSE_IDS.gateway].map(
    (id) =>
      `chown ${id}:${socket} ${files
        .filter(({ owner }) => owner === id)
        .map(({ path }) => join(folder, path))
        .join(' ')}`,
  );
}

function tlsStep(folder: string, tls: TlsPaths): string {
  const { gateway, socket } = COMPOSE_IDS;
  const to = join(folder, 'gateway/config/tls');
  const install = `install -o ${gateway} -g ${socket}`;
  const files = tlsNames(tls).map(({ name, path }) => `${install} -m 400 ${path} ${to}/${name}`);
  return [`${install} -m 700 -d ${to}`, ...files].join(' && ');
}
