import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { conformanceGateway } from '../gateway/conformance.ts';
import { commandPath, describeWith } from './harness/needs.ts';

describeWith(['mcp-conformance'], 'the official conformance suite', () => {
  test.each(['2025-11-25', '2026-07-28'])(
    'finds all that %s requires, without an expected failure',
    async (revision) => {
      await using running = await conformanceGateway();
      const suite = ['server', '--url', `${running.url}/it/mcp`, '--requirements', revision];
      const ran = promisify(execFile)(process.execPath, [commandPath('mcp-conformance') as string, ...suite], {
        maxBuffer: 64 << 20,
        timeout: 240_000,
      });
      const { stdout } = await ran.catch((error: { stdout: string }) => error);
      const [, summary = '', unscored = ''] = /=== SUMMARY ===([\s\S]*?)Total:[^\n]*([\s\S]*)/.exec(stdout) ?? [];
      // What the revision doesn't require is listed below the total.
      const failed = [...summary.matchAll(/^✗ ([\w-]+)/gm)].map((match) => match[1] as string);
      expect(failed.filter((name) => !unscored.includes(`✗ ${name} (`))).toEqual([]);
      expect([...summary.matchAll(/^✓/gm)].length).toBeGreaterThan(25);
    },
  );
});
