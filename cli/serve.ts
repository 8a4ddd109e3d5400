import { dirname, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { Command, Option } from 'commander';
import { McpBuildError } from '../errors/index.ts';
import { makeFolders } from '../files/index.ts';
import {
  type Behind,
  daemonClient,
  type Gateway,
  type GatewayConfig,
  type Identity,
  loadConfig,
  logIn,
  openGateway,
  pages,
  parseConfig,
  tracingConfig,
} from '../gateway/index.ts';
import { keepHeapSmall } from './line/heap.ts';
import { type Home, homeOf } from './line/home.ts';
import {
  auditFolder,
  identities,
  logins,
  prepareServer,
  stdioAuditFolders,
  tlsMaterial,
  tokensFile,
} from './line/serve.ts';
import { gatewayLog } from './line/serve-log.ts';
import { ownGateway } from './line/serve-stdio.ts';
import { watchFiles } from './line/serve-watch.ts';
import { runtimeOf } from './line/start.ts';
import { openWatching, webhookAddress } from './line/watching.ts';
import { examples, jsonOption } from './options.ts';
import { terminal } from './terminal.ts';

interface Options {
  readonly config: string;
  readonly daemon?: string;
  readonly locked?: boolean;
  readonly check?: boolean;
  readonly login?: string;
  readonly allowAnonymous?: boolean;
  /** A folder; false for none. */
  readonly auditLog: string | boolean;
  readonly auditKeep?: number;
  readonly stdio?: boolean;
  readonly logFormat: 'text' | 'json';
  readonly json?: boolean;
}

export function serveCommand(): Command {
  return new Command('serve')
    .summary('serve many servers over HTTP, in place of mcp-proxy')
    .description(
      'Reads the config.json of TBXark’s mcp-proxy and serves each of its servers at /<name>/mcp (Streamable HTTP) and /<name>/sse,\nand all of them together at /mcp, with <name>__ before each tool. What it starts with npx, uvx or docker is locked, built and signed on first use, verified, and run in a container of its own.\nSIGHUP, or a change of the file, takes over a new configuration; servers that are the same in it go on.',
    )
    .requiredOption('--config <file|url>', 'the configuration: a file, or an http(s) address')
    .option(
      '--daemon <socket>',
      'have servers started by name, by `mcp-build daemon`: this process needs no Docker then',
    )
    .option('--locked', 'lock nothing new: what has no lock yet is refused')
    .option('--check', 'only check the configuration, and say what would be served')
    .option('--login <name>', 'log in at a server elsewhere that wants it (OAuth), in a browser, and end')
    .option('--stdio', 'serve all servers to the client that started this, on stdin and stdout, and listen nowhere')
    .option('--allow-anonymous', 'let in, without a token, whoever reaches the address')
    .option('--audit-log <folder>', 'where it is recorded who calls what; in the state folder without it')
    .option('--no-audit-log', 'record nothing')
    .addOption(new Option('--audit-keep <count>', 'keep so many files of 64 MB of the audit log').argParser(Number))
    .addOption(
      new Option('--log-format <format>', 'of what is said on stderr; json also has a line for each call and incident')
        .choices(['text', 'json'])
        .default('text'),
    )
    .addOption(new Option('--port <number>', 'in place of the port in the configuration').argParser(Number))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nEnvironment:\n  MCP_BUILD_ALERT_WEBHOOK  https address that unusual things are posted to, as JSON\n  OTEL_EXPORTER_OTLP_ENDPOINT  a collector that traces are sent to; OpenTelemetry’s other variables count, too\n',
    )
    .addHelpText(
      'after',
      examples(
        ['mcp-build serve --config config.json', 'every server of the file'],
        ['mcp-build serve --config config.json --check', 'see what it would serve'],
        ['mcp-build serve --config config.json --login linear', 'once, for a server elsewhere that wants a login'],
        ['mcp-build serve --config config.json --stdio', 'as a client’s "command": one entry for every server'],
        ['mcp-build token create phone && mcp-build serve --config config.json', 'for holders of a token'],
      ),
    )
    .action(async (options: Options & { readonly port?: number }) => {
      await serve(options);
      // A resolver's or a build's leftovers must not hold up the end.
      if (!options.check && options.login === undefined) process.exit(0);
    });
}

async function serve(options: Options & { readonly port?: number }): Promise<void> {
  const out = terminal(options);
  const logged = gatewayLog(options.logFormat, out.note);
  const say = logged.say;
  const environment = { ...process.env };
  const home = homeOf(environment);
  const place = /^https?:\/\//.test(options.config) ? options.config : resolve(options.config);
  const own = options.stdio && !options.check ? await ownGateway() : undefined;
  const read = async (): Promise<GatewayConfig> => {
    const parsed = parseConfig(await loadConfig(place), place, environment, options.daemon ? 'gateway' : 'whole');
    logged.configured(parsed);
    if (own) return own.adapt(parsed);
    if (options.port === undefined || parsed.address.kind === 'unix') return parsed;
    return { ...parsed, address: { ...parsed.address, port: options.port } };
  };
  const config = await read();
  if (options.check) return show(config, out);
  if (options.login !== undefined) return logInAt(options.login, config, home, out);
  keepHeapSmall();
  // Minutes of locking and building would be for nothing.
  if (config.servers.some(({ behind }) => behind.kind === 'contained')) await (await runtimeOf(environment)).facts();
  const daemon = options.daemon === undefined ? undefined : daemonClient(resolve(options.daemon));
  const known = async () => new Map([...(await identities(home)), ...(own?.tokens ?? [])]);
  let tokens: ReadonlyMap<string, Identity> = await known();
  const watching = await openWatching({
    home,
    folders: auditPlaces(options.auditLog, home, own !== undefined),
    keep: options.auditKeep,
    alerts: webhookAddress(environment.MCP_BUILD_ALERT_WEBHOOK),
    say,
    also: [logged.watcher],
    traces: tracingConfig(environment),
  });
  const { observer, metrics, activity, log, spansDropped } = watching;
  const running: { gateway?: Gateway } = {};
  const gateway = await openGateway({
    config,
    prepare: (server) =>
      prepareServer(server, {
        home,
        environment,
        ...(daemon ? { daemon } : {}),
        locked: options.locked === true,
        progress: out.progress,
        say,
        incident: observer.incident,
      }),
    observer,
    pages: pages({
      metrics,
      activity,
      log,
      spansDropped,
      servers: () => running.gateway?.servers() ?? [],
      control: async (name, action) => (await running.gateway?.control(name, action)) === true,
      say,
    }),
    tokens: () => tokens,
    ...(config.tls ? { tls: await tlsMaterial(config.tls) } : {}),
    anonymous: options.allowAnonymous === true,
    say,
  });
  running.gateway = gateway;
  const end = ending();
  const reload = async () => {
    try {
      tokens = await known();
      const next = await read();
      await gateway.reload(next, next.tls ? await tlsMaterial(next.tls) : undefined);
      say('took over the configuration as it is now');
    } catch (error) {
      // What runs goes on as it was: a slip of the pen takes nothing down.
      const { message, fix } = error as McpBuildError;
      say(`kept the configuration as it was: ${message}${fix ? `. ${fix}` : ''}`);
    }
  };
  let last = Promise.resolve();
  const again = () => {
    last = last.then(reload);
  };
  process.on('SIGHUP', again);
  await makeFolders(dirname(tokensFile(home)), 0o700);
  const files = [...(place === options.config && /^https?:/.test(place) ? [] : [place]), tokensFile(home)];
  const { cert, key, clientCA } = config.tls ?? {};
  const unwatch = watchFiles([...files, ...[cert, key, clientCA].filter((each) => each !== undefined)], again);
  try {
    if (own) {
      await Promise.race([own.serve(gateway.settled), end]);
      return;
    }
    say(`listening on ${gateway.url}`);
    await Promise.race([gateway.settled, end]);
    out.clear();
    const { servers } = gateway.health();
    const base = config.baseURL?.href.replace(/\/$/, '') ?? gateway.url;
    await out.result(
      { url: gateway.url, servers },
      Object.entries(servers)
        .map(([name, { trouble }]) => (trouble === undefined ? `${base}/${name}/mcp` : `${name}: ${trouble}`))
        .join('\n'),
    );
    await end;
  } finally {
    process.off('SIGHUP', again);
    unwatch();
    await gateway.close();
    await watching.close();
  }
}

async function logInAt(
  name: string,
  { servers }: GatewayConfig,
  home: Home,
  out: ReturnType<typeof terminal>,
): Promise<void> {
  const behind = servers.find((server) => server.name === name)?.behind;
  if (behind?.kind !== 'remote') {
    const remote = servers.filter((server) => server.behind.kind === 'remote').map((server) => server.name);
    throw new McpBuildError({
      code: 'login-not-offered',
      message: `The configuration has no server elsewhere named ${name}`,
      input: name,
      fix: remote.length === 0 ? 'Only entries with a "url" are logged in at.' : `Name one of ${remote.join(', ')}.`,
      exit: 2,
    });
  }
  const lines = createInterface({ input: process.stdin });
  try {
    const { issuer, tokens } = await logIn({
      ...behind,
      name,
      store: logins(home, name),
      pasted: lines,
      show(address) {
        out.note(`open this in a browser, and log in:\n\n${address.href}\n`);
        out.note('if the browser then shows an error, because it is on another machine, paste its address here');
      },
    });
    const lasting = tokens?.refresh !== undefined;
    await out.result(
      { server: name, issuer, scope: tokens?.scope ?? null, renewable: lasting },
      `logged in at ${name}, by ${issuer}${lasting ? '' : '; it gave nothing to renew this with, so it ends'}`,
    );
  } finally {
    lines.close();
    process.stdin.pause();
  }
}

/** Several clients may have started a gateway for themselves, and each writes a log of its own. */
function auditPlaces(given: string | boolean, home: Home, stdio: boolean): readonly string[] {
  if (given === false) return [];
  if (typeof given === 'string') return [resolve(given)];
  return stdio ? stdioAuditFolders(home) : [auditFolder(home)];
}

function ending(): Promise<void> {
  return new Promise((done) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => done());
  });
}

async function show(config: GatewayConfig, out: ReturnType<typeof terminal>): Promise<void> {
  const servers = config.servers.map(({ name, behind, tokens, sessions }) => ({
    name,
    runs: behindOf(behind),
    sessions,
    tokens: tokens.length,
    ...(behind.kind === 'contained' ? { permissions: behind.permissions } : {}),
  }));
  await out.result(
    { address: config.address, servers },
    servers.map(({ name, runs }) => `${name}  ${runs}`).join('\n'),
  );
}

function behindOf(behind: Behind): string {
  if (behind.kind === 'named') return 'by the daemon';
  return behind.kind === 'remote' ? new URL(behind.url).origin : targetOf(behind.target);
}

function targetOf(target: { readonly kind: string; readonly source?: string; readonly image?: string }): string {
  return target.source ?? target.image ?? target.kind;
}
