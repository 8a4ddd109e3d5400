import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { bridgeSource } from '../../.ci/bridge.ts';
import { BRIDGES, runBridge } from '../gateway/bridge.ts';
import { commandPath, describeWith } from './harness/needs.ts';
import { root } from './harness/tree.ts';

const SERVER = fileURLToPath(new URL('../fakes/conformance-server.ts', import.meta.url));

/** The committed one, and that of today's sources where it is another: it will be committed one day. */
async function bridges(): Promise<readonly (typeof BRIDGES)[number][]> {
  const same = readFileSync(join(root, 'images/bridge/bridge.mjs'), 'utf8') === (await bridgeSource());
  return same ? ['committed'] : BRIDGES;
}

describeWith(['mcp-conformance'], 'the official conformance suite, of a bridge', () => {
  test.each(['2025-11-25', '2026-07-28'])(
    'finds all that %s requires, without an expected failure',
    async (revision) => {
      for (const which of await bridges()) {
        await using running = await runBridge(which, [process.execPath, '--no-warnings', SERVER]);
        const suite = ['server', '--url', `http://localhost:${running.port}/mcp`, '--requirements', revision];
        const ran = promisify(execFile)(process.execPath, [commandPath('mcp-conformance') as string, ...suite], {
          maxBuffer: 64 << 20,
          timeout: 240_000,
        });
        const { stdout } = await ran.catch((error: { stdout: string }) => error);
        const [, summary = '', unscored = ''] = /=== SUMMARY ===([\s\S]*?)Total:[^\n]*([\s\S]*)/.exec(stdout) ?? [];
        // What the revision doesn't require is listed below the total.
        const failed = [...summary.matchAll(/^✗ ([\w-]+)/gm)].map((match) => match[1] as string);
        expect(
          failed.filter((name) => !unscored.includes(`✗ ${name} (`)),
          which,
        ).toEqual([]);
        expect([...summary.matchAll(/^✓/gm)].length, which).toBeGreaterThan(25);
      }
    },
    600_000,
  );
});
