import { appendFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { Signer } from '../trust/index.ts';
import { explain } from './fault.ts';
import { vettingRules } from './line/audit-policy.ts';
import { homeOf } from './line/home.ts';
import { MANIFEST, readManifest } from './line/manifest/index.ts';
import {
  exitCodeOf,
  jsonOf,
  markdownOf,
  type Outcome,
  parseShard,
  publishPolicy,
  publishServers,
  rowsOf,
  type Shard,
  wordOf,
} from './line/publish/index.ts';
import { manifestSigner, type SignerFlags, signerOf, signerOptions } from './line/signer.ts';
import { examples, jsonOption, usage } from './options.ts';
import { certificatesOption, plainHttpOption, type RegistryFlags, registryOptions } from './registry.ts';
import { bytes, table, terminal } from './terminal.ts';

interface Options extends RegistryFlags, SignerFlags {
  readonly to?: string;
  readonly policy?: string;
  readonly dryRun?: boolean;
  readonly test: boolean;
  readonly recheck?: boolean;
  readonly jobs: number;
  readonly shard?: Shard;
}

export function publishCommand(): Command {
  const command = new Command('publish')
    .summary('build, test, sign and push what changed, and tag it once it verifies')
    .description(
      `Publishes the servers of ${MANIFEST} whose locks, or what the manifest says of them, changed since they were published: checks the lock against its indexes, builds it, starts the exact image for a test, pushes it by digest, attaches its signature and statements, verifies what the registry then serves as a stranger would, and only then moves the tags. It can be interrupted anywhere and run again. One server that fails doesn't keep the others.`,
    )
    .argument('[name...]', `servers of ${MANIFEST}; all by default`)
    .option('--to <registry>', 'registry.example/team instead of the manifest’s')
    .option(
      '--policy <file>',
      'policy that must accept what is published; the manifest’s by default, else the signer’s key',
    )
    .option('--dry-run', 'do everything that changes nothing in the registry')
    .option('--no-test', 'start no image: for a machine without Docker. What was recorded with the lock stands')
    .option('--recheck', 'verify what is unchanged, too, every byte of it')
    .addOption(
      new Option('--jobs <number>', 'servers at a time').default(4).argParser((value) => {
        const jobs = Number(value);
        if (!Number.isInteger(jobs) || jobs < 1 || jobs > 64)
          throw new InvalidArgumentError('Give a number from 1 to 64.');
        return jobs;
      }),
    )
    .addOption(
      new Option(
        '--shard <i/n>',
        'only the i-th of n parts, each server being in exactly one: for CI jobs side by side',
      ).argParser((text) => usage(() => parseShard(text))),
    )
    .addOption(plainHttpOption())
    .addOption(certificatesOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build publish', 'everything that changed'],
        ['mcp-build publish --keyless --json', 'in CI, as the job’s own identity'],
        ['mcp-build publish server-memory --to localhost:5000/mcp', 'one server, to a registry of your own'],
        ['mcp-build publish --dry-run', 'in a pull request'],
        ['mcp-build publish --keyless --shard 2/4', 'in the second of four CI jobs'],
      ),
    );
  for (const option of signerOptions()) command.addOption(option);
  return command.action(async (names: readonly string[], options: Options) => {
    process.exitCode = await publish(names, options);
  });
}

async function publish(names: readonly string[], options: Options): Promise<number> {
  const out = terminal(options);
  const environment = { ...process.env };
  const home = homeOf(environment);
  const workspace = process.cwd();
  const manifest = await readManifest(workspace);
  const flags = manifestSigner(options, manifest.signer);
  let loading: Promise<Signer> | undefined;
  const signer = () => {
    out.clear();
    loading ??= signerOf(flags, home, environment);
    return loading;
  };
  const policy = options.policy === undefined ? manifest.policy : resolve(options.policy);
  const view = progressView(out.progress);
  const outcomes = await publishServers({
    settings: {
      ...{ manifest, home, environment, workspace, signer },
      ...registryOptions(options),
      ...(options.to === undefined ? {} : { registry: options.to }),
      rules: (await vettingRules(environment, workspace, policy)).rules,
      policy: await publishPolicy({ home, policy, signer: flags, load: signer, dryRun: options.dryRun === true }),
      ...(options.test ? {} : { untested: '--no-test was given' }),
      dryRun: options.dryRun === true,
      recheck: options.recheck === true,
      now: new Date(),
    },
    names,
    ...(options.shard === undefined ? {} : { shard: options.shard }),
    parallel: options.jobs,
    explain: (error) => explain(error).fault,
    onStep: view.step,
    onDone: (outcome) => {
      view.done(outcome.name);
      if (!options.json) out.note(lineOf(outcome));
    },
    say: out.note,
  });
  for (const { name, ...one } of outcomes) {
    if (one.status === 'failed' && one.error.fix) out.note(`${name}: fix: ${one.error.fix}`);
  }
  const summary = environment.GITHUB_STEP_SUMMARY;
  if (summary) await appendFile(summary, `${markdownOf(outcomes)}\n`);
  await out.result(
    { registry: options.to ?? manifest.registry ?? null, dryRun: options.dryRun === true, servers: jsonOf(outcomes) },
    table(rowsOf(outcomes)),
  );
  return exitCodeOf(outcomes);
}

function lineOf(outcome: Outcome): string {
  const { name, version } = outcome;
  if (outcome.status === 'failed') return `${name}: ${outcome.error.message} [${outcome.error.code}]`;
  const why = outcome.why === undefined ? '' : ` (${outcome.why})`;
  const test = outcome.test !== undefined && outcome.test !== 'passed' ? `, not tested: ${outcome.test.skipped}` : '';
  const sent = outcome.status === 'published' ? `, ${bytes(outcome.sent)} sent` : '';
  return `${name} ${version} ${wordOf(outcome)}${why}${test}${sent}`;
}

/** All servers at work in one line. */
function progressView(progress: (line: string) => void) {
  const active = new Map<string, string>();
  let done = 0;
  const show = () => progress(`${done} done · ${[...active].map(([name, what]) => `${name}: ${what}`).join(' · ')}`);
  return {
    step: (name: string, step: string, detail: string | undefined) => {
      active.set(name, detail === undefined ? step : `${step} (${detail})`);
      show();
    },
    done: (name: string) => {
      active.delete(name);
      done += 1;
      show();
    },
  };
}
