import type { Halves } from './split.ts';
import type { DeployFile } from './tree.ts';
import { line, timer } from './unit.ts';

export interface SystemdOptions {
  readonly halves: Halves;
  /** The words that start mcp-build. */
  readonly program: readonly string[];
  /** The folder of backups; no timer without it. */
  readonly backups?: string | undefined;
  readonly locked: boolean;
}

const CONFIG = '/etc/mcp-build';
const SOCKET = '/run/mcp-build/daemon.sock';

/** What both services lose, whatever they do: each line takes something away that neither has a use for. Memory stays writable and executable, as V8 compiles. */
const WALLS = `NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
LockPersonality=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
UMask=0077`;

/** Units for a machine: a daemon that holds Docker's socket, the gateway that doesn't, their users, and backups by a timer. */
export function systemdFiles(options: SystemdOptions): readonly DeployFile[] {
  const { halves, backups } = options;
  return [
    unit('mcp-build-daemon.socket', socket()),
    unit('mcp-build-daemon.service', daemon(options)),
    unit('mcp-build-gateway.service', gateway(options)),
    ...(backups ? backupUnits(options.program, backups) : []),
    { path: 'etc/sysusers.d/mcp-build.conf', text: USERS, mode: 0o644 },
    { path: 'etc/tmpfiles.d/mcp-build.conf', text: owners(backups), mode: 0o644 },
    { path: 'etc/mcp-build/daemon.json', text: json(halves.daemon), mode: 0o600 },
    { path: 'etc/mcp-build/gateway.json', text: json(halves.gateway), mode: 0o600 },
  ];
}

/** What is left to do once the files are where they belong. */
export const SYSTEMD_STEPS: readonly string[] = [
  'systemd-sysusers mcp-build.conf',
  'systemd-tmpfiles --create mcp-build.conf',
  'systemctl daemon-reload',
  'systemctl enable --now mcp-build-daemon.socket mcp-build-daemon.service mcp-build-gateway.service',
];

function socket(): string {
  return `[Unit]
Description=Where the gateway asks for MCP servers by name

[Socket]
ListenStream=${SOCKET}
# Who may have servers started: the gateway's group, and nobody else.
SocketUser=mcp-build
SocketGroup=mcp-gateway
SocketMode=0660
DirectoryMode=0755

[Install]
WantedBy=sockets.target
`;
}

function daemon({ program, locked, halves }: SystemdOptions): string {
  const shared = halves.volumes.some((path) => /^\/(?:home|root)(?:\/|$)|^~/.test(path));
  return `[Unit]
Description=Starts verified MCP servers by name
Wants=docker.service
After=docker.service mcp-build-daemon.socket
Requires=mcp-build-daemon.socket

[Service]
Type=exec
User=mcp-build
Group=mcp-build
# Whoever may use Docker is root on this machine: this process listens on no network.
SupplementaryGroups=docker
Environment=HOME=/var/lib/mcp-build MCP_BUILD_HOME=/var/lib/mcp-build
# Docker mounts from it what is private to a server: it has to be the machine's own, and memory.
Environment=XDG_RUNTIME_DIR=/run/mcp-build-private
ExecStart=${line([...program, 'daemon', '--config', `${CONFIG}/daemon.json`, ...(locked ? ['--locked'] : [])])}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=1
# The daemon ends its servers; what removes them if it can't must outlive it.
KillMode=mixed
TimeoutStopSec=30
StateDirectory=mcp-build
StateDirectoryMode=0700
RuntimeDirectory=mcp-build-private
RuntimeDirectoryMode=0700
ReadOnlyPaths=${CONFIG}
CapabilityBoundingSet=
${shared ? WALLS : WALLS.replace('ProtectHome=read-only', 'ProtectHome=yes')}

[Install]
WantedBy=multi-user.target
`;
}

function gateway({ program, halves }: SystemdOptions): string {
  const low = halves.port !== undefined && halves.port > 0 && halves.port < 1024;
  return `[Unit]
Description=Serves MCP servers over HTTP
Wants=network-online.target
After=network-online.target mcp-build-daemon.socket
Requires=mcp-build-daemon.socket

[Service]
Type=exec
User=mcp-gateway
Group=mcp-gateway
Environment=HOME=/var/lib/mcp-gateway MCP_BUILD_HOME=/var/lib/mcp-gateway
ExecStart=${line([...program, 'serve', '--config', `${CONFIG}/gateway.json`, '--daemon', SOCKET])}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=1
TimeoutStopSec=15
StateDirectory=mcp-gateway
StateDirectoryMode=0700
ReadOnlyPaths=${CONFIG}
# Belt and braces: its user can't open them either.
InaccessiblePaths=-/run/docker.sock -/run/containerd -/run/podman -/var/lib/docker -/var/lib/mcp-build -/run/mcp-build-private -${CONFIG}/daemon.json
${low ? 'AmbientCapabilities=CAP_NET_BIND_SERVICE\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE' : 'CapabilityBoundingSet=\nPrivateUsers=yes'}
PrivateTmp=yes
ProtectProc=invisible
MemoryMax=1G
TasksMax=256
${WALLS.replace('ProtectHome=read-only', 'ProtectHome=yes')}

[Install]
WantedBy=multi-user.target
`;
}

const USERS = `# Two users, so that neither reads the other's files: the daemon may use Docker, the gateway may not.
u mcp-build - "MCP servers" /var/lib/mcp-build
u mcp-gateway - "MCP gateway" /var/lib/mcp-gateway
m mcp-build docker
`;

function owners(backups: string | undefined): string {
  return `# Secrets of servers are the daemon's, tokens of clients the gateway's.
d ${CONFIG} 0755 root root
z ${CONFIG}/daemon.json 0600 mcp-build mcp-build
z ${CONFIG}/gateway.json 0600 mcp-gateway mcp-gateway
${backups ? `d ${backups} 0700 root root\n` : ''}`;
}

/** As root, since it reads what belongs to two users; it opens no connection. */
function backupUnits(program: readonly string[], to: string): readonly DeployFile[] {
  const take = [...program, 'backup', '--to', to, '--include', '/var/lib/mcp-gateway', '--include', CONFIG];
  const kept = ['--keep-daily', '7', '--keep-weekly', '5', '--keep-monthly', '12'];
  const service = `[Unit]
Description=Backs up MCP servers: keys, locks, images, tokens, audit log

[Service]
Type=oneshot
Environment=HOME=/root MCP_BUILD_HOME=/var/lib/mcp-build
ExecStart=${line([...take, ...kept])}
ExecStart=${line([...program, 'backup', 'verify', to, '--sealed'])}
Nice=10
IOSchedulingClass=idle
PrivateNetwork=yes
ReadWritePaths=${to} /var/lib/mcp-build
CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_CHOWN
${WALLS}
`;
  return [unit('mcp-build-backup.service', service), unit('mcp-build-backup.timer', timer('daily'))];
}

function unit(name: string, text: string): DeployFile {
  return { path: `etc/systemd/system/${name}`, text, mode: 0o644 };
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
