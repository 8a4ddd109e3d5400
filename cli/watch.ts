import { Command } from 'commander';
import { isFault } from '../errors/index.ts';
import { writeAtomic } from '../files/index.ts';
import { dockerRuntime, type Runtime } from '../runner/index.ts';
import { advisoriesApi } from './line/advisories.ts';
import { vettingRules } from './line/audit-policy.ts';
import type { Environment } from './line/home.ts';
import { homeOf } from './line/home.ts';
import { lockedNames, tell, type Watched, type WatchOptions, watchServer } from './line/watch.ts';
import { type Running, watchRunning } from './line/watch-running.ts';
import { examples, jsonOption } from './options.ts';
import { type Terminal, table, terminal } from './terminal.ts';

interface Options {
  readonly policy?: string;
  readonly offline?: boolean;
  readonly advisoriesUrl?: string;
  readonly webhook?: string;
  readonly output?: string;
  readonly locksOnly?: boolean;
  readonly json?: boolean;
}

export function watchCommand(): Command {
  return new Command('watch')
    .summary('check again what was locked and built, by what is known today')
    .description(
      'For cron, CI or a timer: audits every server under ./lockfiles/ again, against today’s indexes and advisories, and judges the images built from them, and what runs on this machine, by today’s policy and keys. Runs once. Exits with 4 when something would be refused today. What the policy names under vetting.stop is stopped, and starts no more until it is refused no more.',
    )
    .argument('[name...]', 'folders of ./lockfiles/; all of them by default')
    .option('--policy <file>', 'policy whose section vetting decides; ./policy.yaml or yours by default')
    .option(
      '--advisories-url <url>',
      'ask OSV’s API, or one like it, instead of the kept exports; MCP_BUILD_ADVISORIES_API',
    )
    .option('--offline', 'ask nobody')
    .option('--locks-only', 'leave out what runs on this machine')
    .option('--webhook <url>', 'post the result as JSON to this address when something is refused')
    .option('--output <file>', 'write the result as JSON to a file, each time')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build advisories update && mcp-build watch', 'every night'],
        ['mcp-build watch --webhook https://chat.example/hook', 'tell a chat what may no longer run'],
      ),
    )
    .action(async (names: readonly string[], options: Options) => {
      const out = terminal(options);
      const environment = { ...process.env };
      const home = homeOf(environment);
      const workspace = process.cwd();
      const now = new Date();
      const { rules } = await vettingRules(environment, workspace, options.policy);
      const settings: WatchOptions = {
        ...{ home, environment, workspace, rules, offline: options.offline, now },
        api: advisoriesApi(environment, options.advisoriesUrl),
      };
      const watched: Watched[] = [];
      for (const name of names.length > 0 ? names : await lockedNames(workspace)) {
        out.progress(`looking at ${name}`);
        watched.push(await watchServer(name, settings));
      }
      const running = options.locksOnly
        ? undefined
        : await whatRuns(rules.stop.length > 0, environment, out, (runtime) =>
            watchRunning(runtime, watched, settings),
          );
      const refused = [...watched, ...(running?.servers ?? [])].some((one) => one.refused.length > 0);
      const document = {
        checked: now.toISOString(),
        refused,
        servers: watched.map(({ name, refused: bad, findings }) => ({ name, refused: bad, findings: findings.length })),
        running: (running?.servers ?? []).map(({ findings, ...rest }) => ({ ...rest, findings: findings.length })),
        denied: running?.denied ?? {},
      };
      if (options.output) await writeAtomic(options.output, `${JSON.stringify(document, null, 2)}\n`);
      if (refused) process.exitCode = 4;
      await out.result(document, [describe(watched), ...runningLines(running)].join('\n'));
      if (refused && options.webhook) await tell(options.webhook, document);
    });
}

/** Where there is no daemon, nothing runs; but where something is to be stopped, that must be known. */
async function whatRuns(
  must: boolean,
  environment: Environment,
  out: Terminal,
  watch: (runtime: Runtime) => Promise<Running>,
): Promise<Running | undefined> {
  try {
    return await watch(await dockerRuntime(environment));
  } catch (error) {
    if (must || !isFault(error, 'docker-unavailable')) throw error;
    out.note(`what runs was not looked at: ${error.message}`);
    return undefined;
  }
}

function runningLines(running: Running | undefined): readonly string[] {
  return (running?.servers ?? []).flatMap(({ name, containers, refused, stopped }) => [
    `${refused.length > 0 ? '✗' : '✓'} running  ${name}  ${containers.length} ${containers.length === 1 ? 'container' : 'containers'}${
      refused.length > 0
        ? `: ${refused
            .slice(0, 3)
            .map(({ code, subject, id }) => `${id ?? code} ${subject}`)
            .join(', ')}`
        : ''
    }`,
    ...stopped.map((container) => `  stopped ${container}`),
  ]);
}

function describe(watched: readonly Watched[]): string {
  const rows = watched.map(({ name, refused, findings }) => [
    refused.length > 0 ? '✗' : '✓',
    name,
    refused.length > 0
      ? refused
          .slice(0, 3)
          .map(({ code, subject, id }) => `${id ?? code} ${subject}`)
          .join(', ')
      : `${findings.length} findings, none refused`,
  ]);
  return rows.length > 0 ? table(rows) : 'nothing is locked here';
}
