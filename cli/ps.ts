import { Command } from 'commander';
import {
  dockerRuntime,
  findServers,
  listServers,
  type Measured,
  measureServer,
  type RunningServer,
  type Runtime,
  readLog,
  stopServer,
} from '../runner/index.ts';
import { homeOf } from './line/home.ts';
import { logFolder } from './line/start.ts';
import { examples, jsonOption } from './options.ts';
import { bytes, table, terminal } from './terminal.ts';

export function psCommand(): Command {
  return new Command('ps')
    .summary('show the servers that run')
    .description('Lists your servers that run on this machine’s Docker, by whatever client they were started.')
    .option('--stats', 'measure what each uses, for half a second')
    .addOption(jsonOption())
    .addHelpText('after', examples(['mcp-build ps', 'which run'], ['mcp-build ps --stats', 'and what they use']))
    .action(async (options: { readonly stats?: boolean; readonly json?: boolean }) => {
      const runtime = await dockerRuntime({ ...process.env });
      const servers = await Promise.all(
        (await listServers(runtime)).map(async (server) => ({
          ...server,
          ...(options.stats ? { usage: await usageOf(runtime, server) } : {}),
        })),
      );
      const rows = servers.map(({ container, server, version, digest, state, created, usage }) => [
        container,
        server,
        version,
        digest.slice(0, 19),
        state,
        `${Math.round(Date.now() / 1000 - created)} s`,
        ...(usage ? [bytes(usage.memory), `${(usage.load * 100).toFixed(0)} %`, `${usage.pids} processes`] : []),
      ]);
      await terminal(options).result({ servers }, rows.length > 0 ? table(rows) : 'no server of yours is running');
    });
}

/** One that ends while it is measured uses nothing any more. */
async function usageOf(runtime: Runtime, { container, state }: RunningServer): Promise<Measured | undefined> {
  return state === 'running' ? measureServer(runtime, container).catch(() => undefined) : undefined;
}

export function stopCommand(): Command {
  return new Command('stop')
    .summary('stop a server')
    .description('Asks a server to end, and ends it when it hasn’t after a few seconds. Its client sees it exit.')
    .argument('<server>', 'a server by its name, or one container by its')
    .addOption(jsonOption())
    .addHelpText('after', examples(['mcp-build stop server-memory', 'every one that runs']))
    .action(async (name: string, options: { readonly json?: boolean }) => {
      const runtime = await dockerRuntime({ ...process.env });
      const servers = await findServers(runtime, name);
      await Promise.all(servers.map((server) => stopServer(runtime, server)));
      const stopped = servers.map(({ container }) => container);
      await terminal(options).result({ stopped }, stopped.map((container) => `stopped ${container}`).join('\n'));
    });
}

export function logsCommand(): Command {
  return new Command('logs')
    .summary('show what a server wrote to stderr')
    .description(
      'Prints what a server wrote to stderr, also after it has ended, with the values of its variables taken out.',
    )
    .argument('<container>', 'as `ps` names it, or as it was named while it ran')
    .addOption(jsonOption())
    .addHelpText('after', examples(['mcp-build logs mcp-build-server-memory-1a2b3c4d', 'one run']))
    .action(async (container: string, options: { readonly json?: boolean }) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of readLog(logFolder(homeOf({ ...process.env })), container)) chunks.push(chunk);
      const text = Buffer.concat(chunks).toString('utf8');
      await terminal(options).result({ container, log: text }, text.trimEnd());
    });
}
