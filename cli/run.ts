import { Command, Option } from 'commander';
import { looksLikeFile, looksLikeServerJson, looksLikeSource } from '../builders/index.ts';
import { McpBuildError } from '../errors/index.ts';
import { type Log, openLog, processSignals, runContainer, runSession } from '../runner/index.ts';
import { homeOf } from './line/home.ts';
import { keptReady } from './line/kept.ts';
import { publicKeyFile } from './line/keys.ts';
import { requireGiven } from './line/launch.ts';
import { isPrepared } from './line/prepared.ts';
import { logFolder, refuseBeyond, runtimeOf, sessionOptions, verifiedImage } from './line/start.ts';
import { recordUse } from './line/usage.ts';
import { examples } from './options.ts';
import { registryOptions } from './registry.ts';
import { terminal } from './terminal.ts';
import { type WantedOptions, wanted, wantedOptions } from './wanted.ts';

interface Options extends WantedOptions {
  readonly learn?: boolean;
  readonly explain?: boolean;
  readonly json?: boolean;
}

export function runCommand(): Command {
  return wantedOptions(new Command('run'))
    .summary('start a server that verifies, in place of `npx -y` or `uvx`')
    .description(
      'Starts a server between this stdin and stdout, as `npx -y <package>` or `uvx <project>` would, but from a pinned image that\nhas just been verified, in a container without network, capabilities, root or a writable file system. A source is locked,\nbuilt and signed on first use; after that no network is needed. What the server may reach beyond that is what you name here.',
    )
    .argument(
      '<name|source|image>',
      'a name in the local store, npm:…, pypi:…, a .tgz or .whl, a server.json, or an image with its digest',
    )
    .argument('[args...]', 'the server’s own arguments, after --')
    .addOption(
      new Option(
        '--learn',
        'let it reach the internet, and print at its end which destinations it asked for',
      ).conflicts('allowNet'),
    )
    .addOption(new Option('--explain', 'say which walls and permissions it would get, and start nothing'))
    .addOption(new Option('--json', 'with --explain: one JSON document'))
    .addHelpText(
      'after',
      examples(
        ['mcp-build run npm:@modelcontextprotocol/server-memory', 'where `npx -y` stood'],
        ['mcp-build run npm:@modelcontextprotocol/server-filesystem --volume /data:rw -- /data', 'with a folder'],
        ['mcp-build run pypi:mcp-server-fetch --allow-net all', 'with the network'],
        [
          'mcp-build run npm:some-server --allow-net api.example.com:443 --secret TOKEN=op://vault/item/token',
          'with one destination and a secret from a password manager',
        ],
        ['mcp-build run npm:some-server --env API_KEY', 'with a variable of yours'],
        ['mcp-build run npm:some-server --allow-net all --explain', 'what would stand around it'],
      ),
    )
    .action(async (target: string, args: readonly string[], options: Options) => {
      process.exitCode = await run(target, args, options);
    });
}

async function run(target: string, args: readonly string[], options: Options): Promise<number> {
  const out = terminal({ json: options.json === true });
  if (options.json && !options.explain) {
    throw new McpBuildError({
      code: 'usage',
      message: 'stdout of a run belongs to the server: --json goes with --explain only',
      fix: 'Leave out --json, or add --explain.',
      exit: 2,
    });
  }
  const environment = { ...process.env };
  const home = homeOf(environment);
  const want = await wanted(target, args, options, environment);
  const isPackage = looksLikeSource(target) && !looksLikeServerJson(target) && !looksLikeFile(target);
  const runtime = await runtimeOf(environment);
  const available = runtime.facts();
  available.catch(() => undefined);
  if (isPackage && !(await isPrepared(target, home, options.bin))) {
    // Minutes of locking and building would be for nothing.
    await available;
    const { preparedInBackground } = await import('./line/prepare.ts');
    await preparedInBackground(target, {
      home,
      environment,
      bin: options.bin,
      progress: out.progress,
      say: out.note,
    });
  }
  const verified = await verifiedImage(target, {
    home,
    environment,
    bin: options.bin,
    ...(want.keys ? { keys: await Promise.all(want.keys.map(publicKeyFile)) } : {}),
    registry: registryOptions(options),
    package: options.package,
    progress: out.progress,
    say: out.note,
  });
  out.clear();
  refuseBeyond(verified, want.permissions, target);
  if (options.explain) {
    const session = await sessionOptions({ ...want, verified, home, environment, say: out.note });
    const given = { ...session, files: want.files, ...(options.learn ? { learn: true } : {}) };
    const { explainRun, formatExplanation } = await import('./line/explain.ts');
    const explanation = await explainRun(verified, given);
    await out.result(explanation, formatExplanation(explanation));
    return 0;
  }
  requireGiven(verified.launch, want.values, args);
  const streams = { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr };
  const ready = options.learn ? undefined : await keptReady(home, want, verified.image.digest, out.note);
  if (ready) {
    const { permissions, values } = want;
    const { server, pins } = verified;
    const driven = { server, pins, permissions, environment: values, say: out.note, streams, signals: processSignals };
    return (await runSession(driven, async () => ready)).exitCode;
  }
  const session = await sessionOptions({ ...want, verified, home, environment, say: out.note, runtime });
  const learned = new Set<string>();
  const use = recordUse(home, session);
  let log: Promise<Log | undefined> = Promise.resolve(undefined);
  const { exitCode } = await runContainer({
    ...session,
    files: want.files,
    ...(options.learn ? { learn: true } : {}),
    onStarted: (container) => {
      // A log is no reason not to run.
      log = openLog(logFolder(home), container).catch(() => undefined);
    },
    log: (bytes) => void log.then((open) => open?.write(bytes)),
    onDecision: (decision) => {
      const { host, port, allowed, reason } = decision;
      use(decision);
      if (options.learn) learned.add(`${host}:${port}`);
      else if (!allowed) out.note(`refused ${host}:${port} (${reason}); --allow-net ${host}:${port} would allow it`);
    },
    streams,
    signals: processSignals,
  });
  if (options.learn)
    out.note(
      learned.size === 0 ? 'it reached for nothing' : `it reached for --allow-net ${[...learned].sort().join(',')}`,
    );
  return exitCode;
}
