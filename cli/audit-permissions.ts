import { resolve } from 'node:path';
import { Command } from 'commander';
import { writeAtomic } from '../files/index.ts';
import { decide } from '../vetting/index.ts';
import { reviewServers, reviewText } from './line/audit-permissions.ts';
import { vettingRules } from './line/audit-policy.ts';
import { homeOf } from './line/home.ts';
import { daysOption, examples, jsonOption } from './options.ts';
import { terminal } from './terminal.ts';

interface Options {
  readonly days: number;
  readonly log?: string;
  readonly policy?: string;
  readonly output?: string;
  readonly json?: boolean;
}

/** In days: what is used once a month is used. */
const DAYS = 90;

export function permissionsCommand(): Command {
  return new Command('permissions')
    .summary('review what servers may do, did, and need')
    .description(
      'Holds what each server may do against what it was seen to do on this machine (destinations it reached, calls in the gateway’s log) and what its code names. What it never used is named, with the narrower entry to paste into mcp-build.yaml. Exits with 4 where the policy refuses permission-unused.',
    )
    .argument('[name...]', 'servers; all that are locked here, in the manifest, or were ever started by default')
    .addOption(daysOption('--days <days>', 'how far to look back', DAYS))
    .option('--log <folder>', 'the gateway’s audit log, where it is not in the state folder')
    .option('--policy <file>', 'policy whose section vetting decides; ./policy.yaml or yours by default')
    .option('--output <file>', 'write it to a file instead')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build audit permissions', 'every quarter: what may be taken away?'],
        ['mcp-build audit permissions github --days 30', 'one server, by its last month'],
      ),
    )
    .action(async (names: readonly string[], _: unknown, command: Command) => {
      // `audit` has options of the same names, and commander gives them to whichever comes first.
      const options = command.optsWithGlobals<Options>();
      const out = terminal(options);
      const environment = { ...process.env };
      const workspace = process.cwd();
      const now = new Date();
      const { rules } = await vettingRules(environment, workspace, options.policy);
      const reviews = await reviewServers(names, {
        ...{ home: homeOf(environment), environment, workspace, days: options.days, now },
        ...(options.log === undefined ? {} : { log: resolve(options.log) }),
      });
      const { findings, refused } = decide(
        reviews.flatMap((one) => one.findings),
        rules,
        now,
      );
      const document = {
        days: options.days,
        servers: reviews.map(({ used, called, findings: _f, ...rest }) => ({
          ...rest,
          started: used.starts.length,
          recordedSince: used.since ?? null,
          reached: Object.fromEntries(used.reached),
          refused: Object.fromEntries(used.refused),
          called: Object.fromEntries(called?.targets ?? []),
        })),
        findings,
        refused: refused.length > 0,
      };
      const text = reviews.length > 0 ? reviews.map(reviewText).join('\n\n') : 'no server is known here';
      if (refused.length > 0) process.exitCode = 4;
      if (options.output === undefined) return out.result(document, text);
      await writeAtomic(options.output, `${options.json ? JSON.stringify(document, null, 2) : text}\n`);
      out.note(`wrote ${options.output}`);
    });
}
