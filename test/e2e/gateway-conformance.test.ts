import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { conformanceGateway } from '../gateway/conformance.ts';
import { commandPath, describeWith } from './harness/needs.ts';

describeWith(['mcp-conformance'], 'the official conformance suite', () => {
  test('finds nothing wrong, and has nothing to warn of', async () => {
    await using running = await conformanceGateway();
    const suite = ['server', '--url', `${running.url}/it/mcp`, '--suite', 'all'];
    const ran = promisify(execFile)(process.execPath, [commandPath('mcp-conformance') as string, ...suite], {
      maxBuffer: 64 << 20,
      timeout: 240_000,
    });
    const { stdout } = await ran.catch((error: { stdout: string }) => error);
    expect(stdout).toMatch(/Total: \d+ passed, 0 failed/);
    expect(stdout.match(/^✗.*$/gm) ?? []).toEqual([]);
  });
});
