import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { McpBuildError } from '../errors/index.ts';
import { withTemporaryFolder } from '../files/index.ts';
import { openLayout, treeOf } from '../registry/index.ts';
import { examples } from './options.ts';

const SERVERS = [
  { source: 'npm:@modelcontextprotocol/server-everything', name: 'everything' },
  { source: 'pypi:mcp-server-time', name: 'time' },
] as const;

export function demoCommand(): Command {
  return new Command('demo')
    .summary('the whole line on two real servers, in a folder that is removed afterwards')
    .description(
      'Locks, builds, signs, verifies and starts a real npm server and a real PyPI one, asks them for their tools, and shows that a changed image does not start. Your own state folder is left alone.',
    )
    .addHelpText('after', examples(['mcp-build demo', 'needs Docker and the two registries']))
    .action(async () => {
      await withTemporaryFolder(tmpdir(), async (folder) => {
        const environment = {
          ...process.env,
          MCP_BUILD_HOME: join(folder, 'home'),
          MCP_BUILD_PASSPHRASE: randomBytes(16).toString('hex'),
        };
        const step = (...args: string[]) => command(args, folder, environment);
        await step('init');
        for (const { source, name } of SERVERS) {
          await step('lock', source, '--name', name);
          await step('build', name);
          await step('sign', name);
          await step('verify', name);
          await step('test', name);
        }
        await step('list');
        await flipOneByte(join(environment.MCP_BUILD_HOME, 'store'));
        process.stdout.write('\nOne byte of a layer was changed behind its back:\n');
        await command(['verify', SERVERS[1].name], folder, environment, 3);
      });
      process.stdout.write('\nIn an MCP client, put `mcp-build run npm:<package>` where `npx -y <package>` stood.\n');
    });
}

/** Runs one command as a person would, and shows it. @throws McpBuildError `demo-failed` */
async function command(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv, expected = 0): Promise<void> {
  process.stdout.write(`\n$ mcp-build ${args.join(' ')}\n`);
  const main = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? 'main.ts' : 'main.js', import.meta.url));
  const child = spawn(process.execPath, [main, ...args], { cwd, env, stdio: ['ignore', 'inherit', 'inherit'] });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  if (code === expected) return;
  throw new McpBuildError({
    code: 'demo-failed',
    message: `mcp-build ${args.join(' ')} ended with ${code} instead of ${expected}`,
    input: args.join(' '),
    fix: 'What it printed says why.',
    exit: code === 5 ? 5 : 1,
  });
}

/** What a rotten disk or an intruder would do to an image that is already here. */
async function flipOneByte(store: string): Promise<void> {
  const layout = await openLayout(store);
  const { blobs } = await treeOf(layout, await layout.resolve(SERVERS[1].name));
  const layers = blobs.filter(({ mediaType }) => mediaType.includes('layer'));
  const { digest } = layers.reduce((smallest, layer) => (layer.size < smallest.size ? layer : smallest));
  const bytes = await readFile(layout.pathOf(digest));
  const middle = bytes.length >> 1;
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  await writeFile(layout.pathOf(digest), bytes);
}
