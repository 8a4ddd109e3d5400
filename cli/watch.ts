import { Command } from 'commander';
import { writeAtomic } from '../files/index.ts';
import { advisoriesApi } from './line/advisories.ts';
import { vettingRules } from './line/audit-policy.ts';
import { homeOf } from './line/home.ts';
import { lockedNames, tell, type Watched, watchServer } from './line/watch.ts';
import { examples, jsonOption } from './options.ts';
import { table, terminal } from './terminal.ts';

interface Options {
  readonly policy?: string;
  readonly offline?: boolean;
  readonly advisoriesUrl?: string;
  readonly webhook?: string;
  readonly output?: string;
  readonly json?: boolean;
}

export function watchCommand(): Command {
  return new Command('watch')
    .summary('check again what was locked and built, by what is known today')
    .description(
      'For cron, CI or a timer: audits every server under ./lockfiles/ again, against today’s indexes and advisories, and judges the images built from them by today’s policy and keys. Runs once. Exits with 4 when something would be refused today.',
    )
    .argument('[name...]', 'folders of ./lockfiles/; all of them by default')
    .option('--policy <file>', 'policy whose section vetting decides; ./policy.yaml or yours by default')
    .option(
      '--advisories-url <url>',
      'ask OSV’s API, or one like it, instead of the kept exports; MCP_BUILD_ADVISORIES_API',
    )
    .option('--offline', 'ask nobody')
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
      const watched: Watched[] = [];
      for (const name of names.length > 0 ? names : await lockedNames(workspace)) {
        out.progress(`looking at ${name}`);
        watched.push(
          await watchServer(name, {
            home,
            environment,
            workspace,
            rules,
            offline: options.offline,
            api: advisoriesApi(environment, options.advisoriesUrl),
            now,
          }),
        );
      }
      const refused = watched.some((one) => one.refused.length > 0);
      const document = {
        checked: now.toISOString(),
        refused,
        servers: watched.map(({ name, refused: bad, findings }) => ({ name, refused: bad, findings: findings.length })),
      };
      if (options.output) await writeAtomic(options.output, `${JSON.stringify(document, null, 2)}\n`);
      if (refused) process.exitCode = 4;
      await out.result(document, describe(watched));
      if (refused && options.webhook) await tell(options.webhook, document);
    });
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
