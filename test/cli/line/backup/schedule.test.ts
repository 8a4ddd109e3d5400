import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { takeWords } from '../../../../cli/backup-flags.ts';
import { cronLine, scheduleUnits } from '../../../../cli/line/backup/schedule.ts';

const words = takeWords({
  to: '/backups',
  images: false,
  volumes: true,
  include: ['/srv/with space/100%'],
  keepDaily: 7,
  keepMonthly: 12,
});
const options = {
  program: ['/usr/bin/node', '/opt/mcp build/main.js'],
  to: '/backups/$mcp',
  words,
  every: 'daily',
  environment: { MCP_BUILD_HOME: '/srv/state' },
} as const;

describe('a schedule of backups', () => {
  test('says the flags of the first one each time', () => {
    expect(words).toEqual([
      '--include',
      '/srv/with space/100%',
      '--volumes',
      '--no-images',
      '--keep-daily',
      '7',
      '--keep-monthly',
      '12',
    ]);
    expect(takeWords({ to: '/b', images: true })).toEqual([]);
  });

  test('for systemd takes one and reads it, with nothing filled in', () => {
    const [service, timer] = scheduleUnits(options).map(({ text }) => text);
    expect(service?.match(/^ExecStart=.*$/gm)).toEqual([
      'ExecStart=/usr/bin/node "/opt/mcp build/main.js" backup --to /backups/$$mcp --include "/srv/with space/100%%" --volumes --no-images --keep-daily 7 --keep-monthly 12',
      'ExecStart=/usr/bin/node "/opt/mcp build/main.js" backup verify /backups/$$mcp --sealed',
    ]);
    expect(service).toContain('Environment=MCP_BUILD_HOME=/srv/state');
    expect(timer).toContain('OnCalendar=daily');
  });

  test('for cron is one line that a shell reads back as it was meant', () => {
    const line = cronLine({ ...options, program: ['/bin/echo'] });
    const [, minute, hour, command = ''] = /^(\d+) (\d+) \* \* \* (.*)$/.exec(line) ?? [];
    expect(Number(minute)).toBeLessThan(60);
    expect(Number(hour)).toBeLessThan(6);
    // What cron does before it calls a shell.
    const said = execFileSync('/bin/sh', ['-c', command.replaceAll('\\%', '%')], { encoding: 'utf8' });
    expect(said).toBe(
      'backup --to /backups/$mcp --include /srv/with space/100% --volumes --no-images --keep-daily 7 --keep-monthly 12\nbackup verify /backups/$mcp --sealed\n',
    );
    expect(cronLine({ ...options, every: 'hourly' })).toMatch(/^\d+ \* \* \* \* MCP_BUILD_HOME=/);
    expect(cronLine({ ...options, every: 'weekly' })).toMatch(/^\d+ \d \* \* [0-6] /);
  });
});
