import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';

const home = mkdtempSync(join(tmpdir(), 'limits-test-'));
afterAll(() => rmSync(home, { recursive: true }));

const main = join(import.meta.dirname, '../../cli/main.ts');
const run = (limits: string) =>
  spawnSync(process.execPath, [main, 'list'], {
    env: { ...process.env, MCP_BUILD_HOME: home, MCP_BUILD_ARCHIVE_LIMITS: limits },
  });

test('limits of archives come from the environment, and a wrong one is wrong usage', () => {
  const wrong = run('many=1');
  expect(wrong.status).toBe(2);
  expect(wrong.stderr.toString()).toContain('limit-invalid');
  expect(run('files=200000').status).toBe(0);
});
