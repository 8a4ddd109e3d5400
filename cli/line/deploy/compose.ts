import { join } from 'node:path';
import { type Halves, tlsBelow } from './split.ts';
import type { DeployFile } from './tree.ts';

export interface ComposeOptions {
  readonly halves: Halves;
  /** Of mcp-build itself: with a digest, or an id. */
  readonly image: string;
  /** The folder on the machine, absolute: the daemon sees it under the same name, as what it has Docker mount is the machine's. */
  readonly folder: string;
  /** Docker's, on the machine. */
  readonly socket: string;
  /** Whose members may use that socket; asked of the environment where it isn't known here. */
  readonly dockerGroup: number | undefined;
  /** The address of the machine that the gateway's port is bound to. */
  readonly publish: string;
  readonly locked: boolean;
}

/** The daemon, the gateway, and the group of the socket between them. Nobody else on the machine should have these numbers. */
export const COMPOSE_IDS = { daemon: 65_531, gateway: 65_532, socket: 65_530 } as const;

/** The folders that containers write to, and whose they are. */
export const COMPOSE_FOLDERS = [
  { path: 'daemon', owner: COMPOSE_IDS.daemon, mode: 0o700 },
  { path: 'daemon/config', owner: COMPOSE_IDS.daemon, mode: 0o700 },
  { path: 'daemon/state', owner: COMPOSE_IDS.daemon, mode: 0o700 },
  { path: 'daemon/private', owner: COMPOSE_IDS.daemon, mode: 0o700 },
  { path: 'socket', owner: COMPOSE_IDS.daemon, mode: 0o750 },
  { path: 'gateway', owner: COMPOSE_IDS.gateway, mode: 0o700 },
  { path: 'gateway/config', owner: COMPOSE_IDS.gateway, mode: 0o700 },
  { path: 'gateway/state', owner: COMPOSE_IDS.gateway, mode: 0o700 },
] as const;

const CONFIG = '/etc/mcp-build';
const RUN = '/run/mcp-build';
const STATE = '/var/lib/mcp-build';
/** Where the gateway listens in its container, whatever it is outside. */
const PORT = 9090;

/** A compose file for two containers of mcp-build's own image: the daemon with Docker's socket and no port, the gateway with a port and nothing else. */
export function composeFiles(options: ComposeOptions): readonly DeployFile[] {
  const { halves } = options;
  const tls = halves.tls ? { tls: tlsBelow(`${CONFIG}/tls`, halves.tls) } : {};
  const proxy = { ...(halves.gateway.mcpProxy as object), addr: `:${PORT}`, ...tls };
  const text = `# Written by \`mcp-build deploy compose\`.\n${JSON.stringify(composeOf(options), undefined, 2)}\n`;
  return [
    { path: 'compose.yaml', text, mode: 0o644 },
    { path: 'daemon/config/daemon.json', text: json(halves.daemon), mode: 0o600 },
    { path: 'gateway/config/gateway.json', text: json({ ...halves.gateway, mcpProxy: proxy }), mode: 0o600 },
  ];
}

/** JSON is YAML; and nothing in it is filled in by compose but where a dollar stands alone. */
function composeOf({ halves, image, folder, socket, dockerGroup, publish, locked }: ComposeOptions): object {
  const state = join(folder, 'daemon/state');
  const privately = join(folder, 'daemon/private');
  const walls = {
    init: true,
    read_only: true,
    cap_drop: ['ALL'],
    security_opt: ['no-new-privileges:true'],
    restart: 'unless-stopped',
    tmpfs: ['/tmp:mode=1777,size=64m'],
  };
  const { daemon, gateway, socket: group } = COMPOSE_IDS;
  return {
    version: '2.4',
    services: {
      daemon: {
        image: plain(image),
        command: [
          ...['daemon', '--config', `${CONFIG}/daemon.json`, '--socket', `${RUN}/daemon.sock`, '--group', `${group}`],
          ...(locked ? ['--locked'] : []),
        ],
        ...walls,
        user: `${daemon}:${group}`,
        group_add: [
          dockerGroup === undefined ? '$' + '{DOCKER_GID:?the group of the Docker socket}' : `${dockerGroup}`,
        ],
        // What is locked already needs nobody's index.
        ...(locked ? { network_mode: 'none' } : {}),
        environment: { HOME: state, MCP_BUILD_HOME: state, XDG_RUNTIME_DIR: privately },
        volumes: [
          `${plain(socket)}:/var/run/docker.sock`,
          `${plain(join(folder, 'daemon/config'))}:${CONFIG}:ro`,
          `${plain(join(folder, 'socket'))}:${RUN}`,
          ...[state, privately].map((path) => `${plain(path)}:${plain(path)}`),
          ...halves.volumes.map((path) => `${plain(path)}:${plain(path)}:ro`),
        ],
        mem_limit: '2g',
        pids_limit: 1024,
        stop_grace_period: '30s',
      },
      gateway: {
        image: plain(image),
        command: ['serve', '--config', `${CONFIG}/gateway.json`, '--daemon', `${RUN}/daemon.sock`],
        ...walls,
        user: `${gateway}:${group}`,
        depends_on: ['daemon'],
        environment: { HOME: STATE, MCP_BUILD_HOME: STATE },
        ports: [`${publish}:${halves.port || PORT}:${PORT}`],
        volumes: [
          `${plain(join(folder, 'gateway/config'))}:${CONFIG}:ro`,
          `${plain(join(folder, 'socket'))}:${RUN}`,
          `${plain(join(folder, 'gateway/state'))}:${STATE}`,
        ],
        mem_limit: '1g',
        pids_limit: 256,
        stop_grace_period: '15s',
      },
    },
  };
}

/** Compose fills in what follows a dollar. */
function plain(text: string): string {
  return text.replaceAll('$', '$$$$');
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
