import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import {
  dockerRuntime,
  findServers,
  listServers,
  type Measured,
  measureServer,
  type RunningServer,
  type Runtime,
  type Transfer,
} from '../runner/index.ts';
import { examples, jsonOption } from './options.ts';
import { bytes, table, terminal } from './terminal.ts';

interface Options {
  readonly watch?: boolean;
  readonly json?: boolean;
}

/** Between two looks, in milliseconds; each measures for half a second of it. */
const PAUSE = 1_500;

export function statsCommand(): Command {
  return new Command('stats')
    .summary('show what running servers use')
    .description(
      'Measures processor, memory, processes, disk and network of your running servers, for half a second. What a server sends through the\negress proxy is not among its network: it has no interface of its own.',
    )
    .argument('[server]', 'a server by its name, or one container by its; all of yours by default')
    .option('-w, --watch', 'again every two seconds, until interrupted; with --json one document a line')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(['mcp-build stats', 'once'], ['mcp-build stats --watch server-memory', 'one, as it goes']),
    )
    .action(async (name: string | undefined, options: Options) => {
      const runtime = await dockerRuntime({ ...process.env });
      const out = terminal(options);
      for (;;) {
        const servers = name === undefined ? await listServers(runtime) : await findServers(runtime, name);
        const measured = await Promise.all(
          servers.map(async (server) => ({ ...server, usage: await usageOf(runtime, server) })),
        );
        const shown = measured.flatMap(({ usage, ...server }) => (usage ? [{ ...server, usage }] : []));
        const again = options.watch && !options.json && process.stdout.isTTY;
        if (again) process.stdout.write('\u001b[2J\u001b[H');
        await out.result({ servers: shown }, textOf(shown));
        if (!options.watch) return;
        await sleep(PAUSE);
      }
    });
}

type Row = RunningServer & { readonly usage: Measured };

function textOf(servers: readonly Row[]): string {
  if (servers.length === 0) return 'no server of yours is running';
  const head = ['container', 'cpu', 'memory', 'of', 'processes', 'disk in/out', 'net in/out'];
  return table([head, ...servers.map(({ container, usage }) => [container, ...cells(usage)])]);
}

function cells({ load, memory, memoryLimit, pids, disk, net }: Measured): readonly string[] {
  const cpu = `${(load * 100).toFixed(load < 0.1 ? 1 : 0)} %`;
  return [cpu, bytes(memory), bytes(memoryLimit), String(pids), moved(disk), moved(net)];
}

function moved(transfer: Transfer | undefined): string {
  return transfer ? `${bytes(transfer.in)} / ${bytes(transfer.out)}` : '–';
}

/** One that ends while it is measured uses nothing any more. */
async function usageOf(runtime: Runtime, { container, state }: RunningServer): Promise<Measured | undefined> {
  return state === 'running' ? measureServer(runtime, container).catch(() => undefined) : undefined;
}
