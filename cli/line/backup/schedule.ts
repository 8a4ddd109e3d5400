import { createHash } from 'node:crypto';
import type { DeployFile } from '../deploy/tree.ts';
import { line, timer } from '../deploy/unit.ts';

export const EVERY = ['hourly', 'daily', 'weekly'] as const;
export type Every = (typeof EVERY)[number];

export interface ScheduleOptions {
  /** The words that start mcp-build. */
  readonly program: readonly string[];
  readonly to: string;
  /** What follows `backup --to <folder>`. */
  readonly words: readonly string[];
  readonly every: Every;
  /** Variables without which it would find another state. */
  readonly environment: Readonly<Record<string, string>>;
}

/** A service that backs up and reads what it wrote, and its timer: a backup that nobody checks is a hope. */
export function scheduleUnits({ program, to, words, every, environment }: ScheduleOptions): readonly DeployFile[] {
  const variables = Object.entries(environment).map(([name, value]) => `Environment=${line([`${name}=${value}`])}\n`);
  const service = `[Unit]
Description=Backs up MCP servers: keys, locks, images, tokens, audit log

[Service]
Type=oneshot
${variables.join('')}ExecStart=${line([...program, 'backup', '--to', to, ...words])}
ExecStart=${line([...program, 'backup', 'verify', to, '--sealed'])}
Nice=10
IOSchedulingClass=idle
`;
  return [
    { path: 'mcp-build-backup.service', text: service, mode: 0o644 },
    { path: 'mcp-build-backup.timer', text: timer(every), mode: 0o644 },
  ];
}

/** The same for cron: one line of a crontab. */
export function cronLine({ program, to, words, every, environment }: ScheduleOptions): string {
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${quoted(value)}`);
  const start = [...variables, ...program.map(quoted)].join(' ');
  const take = ['backup', '--to', to, ...words].map(quoted).join(' ');
  const command = `${start} ${take} && ${start} ${['backup', 'verify', to, '--sealed'].map(quoted).join(' ')}`;
  // Cron takes a percent sign for the end of a line.
  return `${times(every, to)} ${command.replaceAll('%', '\\%')}`;
}

/** Not when everybody else's runs: some minute, the same each time, in the small hours. */
function times(every: Every, to: string): string {
  const [some = 0, other = 0, day = 0] = createHash('sha256').update(to).digest();
  const minute = some % 60;
  if (every === 'hourly') return `${minute} * * * *`;
  return `${minute} ${1 + (other % 5)} * * ${every === 'daily' ? '*' : day % 7}`;
}

function quoted(word: string): string {
  return /^[\w@+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
