import { Command } from 'commander';
import type { McpBuildError } from '../errors/index.ts';
import { explain } from './fault.ts';
import { vettingRules } from './line/audit-policy.ts';
import { markdownOf, textOf } from './line/diff/index.ts';
import { homeOf } from './line/home.ts';
import { MANIFEST, readManifest, selectServers } from './line/manifest/index.ts';
import { quoted } from './line/markdown.ts';
import { refusedUpdate, type Update, updateServer } from './line/update.ts';
import { examples, jsonOption } from './options.ts';
import { bytes, terminal } from './terminal.ts';

interface Options {
  readonly write?: boolean;
  readonly test?: boolean;
  readonly markdown?: boolean;
  readonly policy?: string;
  readonly json?: boolean;
}

type Outcome = Update | { readonly name: string; readonly status: 'failed'; readonly error: McpBuildError };

export function updateCommand(): Command {
  return new Command('update')
    .summary('look for newer versions, as a change that can be reviewed')
    .description(
      `Locks the servers of ${MANIFEST} anew, within their ranges and release age and on the base as it is now, and says what that would change: packages, install scripts, provenance, licences, permissions, tools and size. With --write it changes the locks. What the policy refuses is told and not written.`,
    )
    .argument('[name...]', `servers of ${MANIFEST}; all by default`)
    .option('--write', 'write the new locks')
    .option('--test', 'build what was found and start it, without network, to compare its tools and its size')
    .option('--markdown', 'for the body of a pull request: text from packages can do nothing in it')
    .option('--policy <file>', 'policy whose section vetting decides; the manifest’s by default')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build update', 'what is there?'],
        ['mcp-build update --write --test --markdown > body.md', 'in a scheduled job that opens a pull request'],
        ['mcp-build update server-memory --write', 'one server'],
      ),
    )
    .action(async (names: readonly string[], options: Options) => {
      process.exitCode = await update(names, options);
    });
}

async function update(names: readonly string[], options: Options): Promise<number> {
  const out = terminal(options);
  const environment = { ...process.env };
  const workspace = process.cwd();
  const manifest = await readManifest(workspace);
  const { rules } = await vettingRules(environment, workspace, options.policy ?? manifest.policy);
  const outcomes: Outcome[] = [];
  for (const entry of selectServers(manifest, names)) {
    try {
      const one = await updateServer(entry, {
        ...{ home: homeOf(environment), environment, workspace, rules, registry: {}, offline: false, now: new Date() },
        write: options.write === true,
        test: options.test === true,
        progress: (line) => out.progress(`${entry.name}: ${line}`),
      });
      outcomes.push(one);
    } catch (error) {
      outcomes.push({ name: entry.name, status: 'failed', error: explain(error).fault });
    }
  }
  const failures = outcomes.flatMap((one) =>
    one.status === 'failed' ? [one.error] : one.status === 'refused' ? [refusedUpdate(one.name, one.refused)] : [],
  );
  for (const { message, code, fix } of failures) out.note(`${message} [${code}]${fix ? `; fix: ${fix}` : ''}`);
  await out.result({ servers: outcomes.map(jsonOf) }, options.markdown ? markdown(outcomes).trimEnd() : text(outcomes));
  const exits = new Set(failures.map(({ exit }) => exit));
  return exits.size === 0 ? 0 : exits.size === 1 ? [...exits][0]! : 1;
}

function text(outcomes: readonly Outcome[]): string {
  return outcomes
    .map((one) => {
      if (one.status === 'current') return `${one.name} ${one.version}: nothing newer`;
      if (one.status === 'failed') return `${one.name}: failed: ${one.error.code}`;
      return `${textOf(one.difference, bytes)}${one.status === 'refused' ? '\n  refused' : one.status === 'written' ? '\n  written' : ''}`;
    })
    .join('\n');
}

function markdown(outcomes: readonly Outcome[]): string {
  const changed = outcomes.flatMap((one) => ('difference' in one && one.status !== 'refused' ? [one.difference] : []));
  const refused = outcomes.flatMap((one) =>
    one.status === 'refused'
      ? [`- ${quoted(one.name)}: ${quoted(refusedUpdate(one.name, one.refused).message, 500)}`]
      : [],
  );
  const failed = outcomes.flatMap((one) =>
    one.status === 'failed'
      ? [`- ${quoted(one.name)}: ${quoted(one.error.code)} ${quoted(one.error.message, 500)}`]
      : [],
  );
  const current = outcomes.filter(({ status }) => status === 'current').length;
  return [
    `## Updates of MCP servers\n\n${changed.length} changed, ${current} current, ${refused.length} refused, ${failed.length} failed.\n`,
    ...(changed.length > 0 ? [markdownOf(changed, bytes)] : []),
    ...(refused.length > 0 ? [`### Refused by the policy\n\n${refused.join('\n')}\n`] : []),
    ...(failed.length > 0 ? [`### Failed\n\n${failed.join('\n')}\n`] : []),
  ].join('\n');
}

function jsonOf(one: Outcome): unknown {
  if (one.status !== 'failed') return one;
  const { code, message, fix } = one.error;
  return { name: one.name, status: one.status, error: { code, message, fix: fix ?? null } };
}
