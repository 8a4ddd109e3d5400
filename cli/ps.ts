import { Command } from 'commander';
import {
  askKeeper,
  dockerRuntime,
  findServers,
  followLog,
  type KeeperStatus,
  type KeptRecord,
  listKept,
  listServers,
  newestLog,
  readLog,
  stopKeeper,
  stopServer,
} from '../runner/index.ts';
import { type Home, homeOf } from './line/home.ts';
import { keeperLog, keptFolder } from './line/kept.ts';
import { logFolder } from './line/start.ts';
import { examples, jsonOption } from './options.ts';
import { table, terminal } from './terminal.ts';

export function psCommand(): Command {
  return new Command('ps')
    .summary('show the servers that run')
    .description(
      'Lists your servers that run on this machine’s Docker, by whatever client they were started, and those that `start` keeps ready.',
    )
    .addOption(jsonOption())
    .addHelpText('after', examples(['mcp-build ps', 'which run'], ['mcp-build stats', 'and what they use']))
    .action(async (options: { readonly json?: boolean }) => {
      const environment = { ...process.env };
      const kept = await keepers(homeOf(environment));
      const runtime = await dockerRuntime(environment);
      const servers = (await listServers(runtime)).map((server) => {
        const keeper = kept.find(({ ready, used }) => [...ready, ...used].includes(server.container));
        const { container } = server;
        return {
          ...server,
          ...(keeper ? { kept: { name: keeper.name, ready: keeper.ready.includes(container) } } : {}),
        };
      });
      const rows = servers.map(({ container, server, version, digest, state, created, kept }) => [
        container,
        server,
        version,
        digest.slice(0, 19),
        kept?.ready ? 'ready' : state,
        `${Math.round(Date.now() / 1000 - created)} s`,
      ]);
      const lines = kept.map(({ name, target, state, ready, used, failures, error }) => [
        name,
        target,
        `${state}: ${ready.length} ready, ${used.length} in use`,
        failures > 0 ? `${failures} failures${error ? `, the last: ${error.message} [${error.code}]` : ''}` : '',
      ]);
      const text = [
        rows.length > 0 ? table(rows) : 'no server of yours is running',
        ...(lines.length > 0 ? ['', 'kept ready:', table(lines)] : []),
      ];
      await terminal(options).result({ servers, kept }, text.join('\n'));
    });
}

/** Those that answer. One that is stuck is told as such, and hides no other. */
async function keepers(home: Home): Promise<readonly KeeperStatus[]> {
  const folder = keptFolder(home);
  const asked = await Promise.all(
    (await listKept(folder)).map((record) => askKeeper(folder, record).catch((error: Error) => stuck(record, error))),
  );
  return asked.filter((status) => status !== undefined);
}

function stuck(record: KeptRecord, { message }: Error): KeeperStatus {
  const error = { code: 'keeper-unavailable', message };
  return { ...record, state: 'stopped', ready: [], used: [], failures: 1, error };
}

export function stopCommand(): Command {
  return new Command('stop')
    .summary('stop a server')
    .description(
      'Asks a server to end, and ends it when it hasn’t after a few seconds. Its client sees it exit. Of a name that `start` keeps ready,\nall are stopped, and none is started again.',
    )
    .argument('<server>', 'a server by its name, one container by its, or a name that is kept ready')
    .addOption(jsonOption())
    .addHelpText('after', examples(['mcp-build stop server-memory', 'every one that runs']))
    .action(async (name: string, options: { readonly json?: boolean }) => {
      const environment = { ...process.env };
      const folder = keptFolder(homeOf(environment));
      const record = (await listKept(folder)).find((one) => one.name === name);
      const keeper = record && (await askKeeper(folder, record));
      if (keeper) await stopKeeper(keeper);
      const runtime = await dockerRuntime(environment);
      const servers = await findServers(runtime, name).catch((error: unknown) => {
        if (keeper) return [];
        throw error;
      });
      await Promise.all(servers.map((server) => stopServer(runtime, server)));
      const stopped = [
        ...new Set([...(keeper?.ready ?? []), ...(keeper?.used ?? []), ...servers.map(({ container }) => container)]),
      ];
      const text = stopped.map((container) => `stopped ${container}`);
      if (keeper) text.push(`${name} is no longer kept ready`);
      await terminal(options).result({ stopped, ...(keeper ? { kept: name } : {}) }, text.join('\n'));
    });
}

export function logsCommand(): Command {
  return new Command('logs')
    .summary('show what a server wrote to stderr')
    .description(
      'Prints what a server wrote to stderr, also after it has ended, with the values of its variables taken out. Of a name that `start`\nkeeps ready, also what was done to keep it so.',
    )
    .argument(
      '<container|name>',
      'a container as `ps` names it, or named it; a name that is kept ready; else a server, of which it is the newest',
    )
    .option('-f, --follow', 'go on with what is added, until the server has ended')
    .addOption(jsonOption().conflicts('follow'))
    .addHelpText(
      'after',
      examples(
        ['mcp-build logs server-memory', 'its newest run'],
        ['mcp-build logs mcp-build-server-memory-1a2b3c4d', 'one run'],
        ['mcp-build logs --follow server-memory', 'what is kept ready under a name'],
      ),
    )
    .action(async (name: string, options: { readonly json?: boolean; readonly follow?: boolean }) => {
      const environment = { ...process.env };
      const home = homeOf(environment);
      const container = await logged(name, home);
      if (options.follow) {
        for await (const chunk of followLog(logFolder(home), container, () => written(container, name, home))) {
          await new Promise((resolve) => process.stdout.write(chunk, resolve));
        }
        return;
      }
      const chunks: Uint8Array[] = [];
      for await (const chunk of readLog(logFolder(home), container)) chunks.push(chunk);
      const text = Buffer.concat(chunks).toString('utf8');
      await terminal(options).result({ container, log: text }, text.trimEnd());
    });
}

/** Whose log is meant: a container's, a keeper's, or that of a server's newest run. */
async function logged(name: string, home: Home): Promise<string> {
  if (name.startsWith('mcp-build-')) return name;
  const kept = (await listKept(keptFolder(home))).some((record) => record.name === name);
  return (kept ? undefined : await newestLog(logFolder(home), name)) ?? keeperLog(name);
}

/** Whether a container, or a keeper, is still there to write its log. */
async function written(container: string, name: string, home: Home): Promise<boolean> {
  if (container !== keeperLog(name)) {
    const runtime = await dockerRuntime({ ...process.env });
    return (await listServers(runtime)).some((one) => one.container === container);
  }
  const folder = keptFolder(home);
  const record = (await listKept(folder)).find((one) => one.name === name);
  return record !== undefined && (await askKeeper(folder, record)) !== undefined;
}
