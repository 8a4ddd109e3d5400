import { setFlagsFromString } from 'node:v8';
import type { Command } from 'commander';

interface Loadable {
  load(): Promise<Command>;
}

/** Every command, loaded only when it is asked for: a start from a lock pays for nothing but itself. */
export const COMMANDS = {
  add: { load: async () => (await import('./add.ts')).addCommand() },
  remove: { load: async () => (await import('./remove.ts')).removeCommand() },
  manifest: { load: async () => (await import('./manifest.ts')).manifestCommand() },
  lock: { load: async () => (await import('./lock.ts')).lockCommand() },
  audit: { load: async () => (await import('./audit.ts')).auditCommand() },
  advisories: { load: async () => (await import('./advisories.ts')).advisoriesCommand() },
  watch: { load: async () => (await import('./watch.ts')).watchCommand() },
  build: { load: async () => (await import('./build.ts')).buildCommand() },
  base: { load: async () => (await import('./base.ts')).baseCommand() },
  test: { load: async () => (await import('./test.ts')).testCommand() },
  run: {
    load: async () => {
      staySmall();
      return (await import('./run.ts')).runCommand();
    },
  },
  prepare: { load: async () => (await import('./prepare.ts')).prepareCommand() },
  start: { load: async () => (await import('./start.ts')).startCommand() },
  attach: { load: async () => (await import('./start.ts')).attachCommand() },
  restart: { load: async () => (await import('./start.ts')).restartCommand() },
  init: { load: async () => (await import('./init.ts')).initCommand() },
  sign: { load: async () => (await import('./sign.ts')).signCommand() },
  attest: { load: async () => (await import('./attest.ts')).attestCommand() },
  show: { load: async () => (await import('./show.ts')).showCommand() },
  policy: { load: async () => (await import('./policy.ts')).policyCommand() },
  trust: { load: async () => (await import('./trust.ts')).trustCommand() },
  diff: { load: async () => (await import('./diff.ts')).diffCommand() },
  update: { load: async () => (await import('./update.ts')).updateCommand() },
  publish: { load: async () => (await import('./publish.ts')).publishCommand() },
  verify: { load: async () => (await import('./verify.ts')).verifyCommand() },
  reproduce: { load: async () => (await import('./reproduce.ts')).reproduceCommand() },
  push: { load: async () => (await import('./push.ts')).pushCommand() },
  pull: { load: async () => (await import('./pull.ts')).pullCommand() },
  copy: { load: async () => (await import('./copy.ts')).copyCommand() },
  login: { load: async () => (await import('./login.ts')).loginCommand() },
  logout: { load: async () => (await import('./login.ts')).logoutCommand() },
  import: { load: async () => (await import('./import.ts')).importCommand() },
  export: { load: async () => (await import('./export.ts')).exportCommand() },
  ps: { load: async () => (await import('./ps.ts')).psCommand() },
  stop: { load: async () => (await import('./ps.ts')).stopCommand() },
  stats: { load: async () => (await import('./stats.ts')).statsCommand() },
  logs: { load: async () => (await import('./ps.ts')).logsCommand() },
  doctor: { load: async () => (await import('./doctor.ts')).doctorCommand() },
  list: { load: async () => (await import('./list.ts')).listCommand() },
  prune: { load: async () => (await import('./prune.ts')).pruneCommand() },
  'audit-log': { load: async () => (await import('./audit-log.ts')).auditLogCommand() },
  backup: { load: async () => (await import('./backup.ts')).backupCommand() },
  restore: { load: async () => (await import('./restore.ts')).restoreCommand() },
  serve: { load: async () => (await import('./serve.ts')).serveCommand() },
  daemon: { load: async () => (await import('./daemon.ts')).daemonCommand() },
  up: { load: async () => (await import('./up.ts')).upCommand() },
  token: { load: async () => (await import('./token.ts')).tokenCommand() },
  deploy: { load: async () => (await import('./deploy.ts')).deployCommand() },
  demo: { load: async () => (await import('./demo.ts')).demoCommand() },
} satisfies Record<string, Loadable>;

/** How help lists them: what somebody came for first. */
export const GROUPS: Readonly<Record<string, readonly (keyof typeof COMMANDS)[]>> = {
  'Start servers:': ['run', 'start', 'attach', 'restart', 'stop', 'ps', 'logs', 'stats', 'prepare', 'import', 'export'],
  'Build images:': ['lock', 'build', 'test', 'reproduce', 'base', 'list', 'prune'],
  'Know what gets in:': ['audit', 'advisories', 'watch', 'diff', 'update'],
  'Sign and verify:': ['init', 'sign', 'attest', 'show', 'verify', 'policy', 'trust'],
  'Publish for others:': ['add', 'remove', 'manifest', 'publish', 'push', 'pull', 'copy', 'login', 'logout'],
  'Serve a team:': ['serve', 'daemon', 'up', 'token', 'audit-log', 'backup', 'restore', 'deploy'],
  'Help:': ['doctor', 'demo'],
};

export function isCommand(name: string): name is keyof typeof COMMANDS {
  return Object.hasOwn(COMMANDS, name);
}

/**
 * Lives as long as its server, and there is one for each: room for young objects that grows with the first burst is never given back.
 * 9 MB less of 88.
 */
function staySmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}
