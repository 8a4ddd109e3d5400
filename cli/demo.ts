import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { McpBuildError } from '../errors/index.ts';
import { withTemporaryFolder } from '../files/index.ts';
import { examples } from './options.ts';

const SERVERS = [
  { source: 'npm:@modelcontextprotocol/server-everything', name: 'everything' },
  { source: 'pypi:mcp-server-time', name: 'time' },
] as const;

export function demoCommand(): Command {
  return new Command('demo')
    .summary('the whole line on two real servers, in a folder that is removed afterwards')
    .description(
      'Locks, builds, signs, verifies and starts a real npm server and a real PyPI one, asks them for their tools, and shows that a\nchanged image does not start. Your own state folder is left alone.',
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
      });
      process.stdout.write('\nIn an MCP client, put `mcp-build run npm:<package>` where `npx -y <package>` stood.\n');
    });
}

/** Runs one command as a person would, and shows it. @throws McpBuildError `demo-failed` */
async function command(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Promise<void> {
  process.stdout.write(`\n$ mcp-build ${args.join(' ')}\n`);
  const main = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? 'main.ts' : 'main.js', import.meta.url));
  const child = spawn(process.execPath, [main, ...args], { cwd, env, stdio: ['ignore', 'inherit', 'inherit'] });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  if (code === 0) return;
  throw new McpBuildError({
    code: 'demo-failed',
    message: `mcp-build ${args.join(' ')} ended with ${code}`,
    input: args.join(' '),
    fix: 'What it printed says why.',
    exit: code === 5 ? 5 : 1,
  });
}
