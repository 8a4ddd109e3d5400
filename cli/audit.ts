import { Command, Option } from 'commander';
import { lockDigest } from '../builders/index.ts';
import { isFault, McpBuildError } from '../errors/index.ts';
import { writeAtomic } from '../files/index.ts';
import {
  checkTogether,
  decide,
  type Finding,
  finding,
  html,
  markdown,
  parseVex,
  printed,
  type Report,
  sarif,
} from '../vetting/index.ts';
import { permissionsCommand } from './audit-permissions.ts';
import { auditLine, auditTable } from './audit-table.ts';
import { advisoriesApi } from './line/advisories.ts';
import { type Audited, auditLock } from './line/audit.ts';
import { imageTarget } from './line/audit-image.ts';
import { vettingRules } from './line/audit-policy.ts';
import {
  configuredServers,
  lockTarget,
  parseTools,
  readNamed,
  sourceTarget,
  type Target,
  type TargetOptions,
  targetKind,
} from './line/audit-target.ts';
import { readLockFolder } from './line/folder.ts';
import { homeOf } from './line/home.ts';
import { findImage, type RegistryOptions } from './line/image.ts';
import { judgeImage } from './line/watch.ts';
import { examples, jsonOption, repeated } from './options.ts';
import { certificatesOption, plainHttpOption, type RegistryFlags, registryOptions } from './registry.ts';
import { terminal } from './terminal.ts';
import { version } from './version.ts';

const FORMATS = ['table', 'json', 'sarif', 'markdown', 'html'] as const;

interface Options extends RegistryFlags {
  readonly policy?: string;
  readonly offline?: boolean;
  readonly previous?: string;
  readonly tools?: string;
  readonly advisoriesUrl?: string;
  readonly vex?: readonly string[];
  readonly all?: boolean;
  readonly format?: (typeof FORMATS)[number];
  readonly output?: string;
  readonly json?: boolean;
}

export function auditCommand(): Command {
  return new Command('audit')
    .summary('look at what a server brings, and refuse what must not get in')
    .description(
      'Reads every package of a server, on the exact bytes that are or will be in its image, and asks its index and the advisories about each: where it comes from, how old it is, who built it, what it holds, what is known against it, and what its tools say to a model. Nothing of a package is executed. Exits with 4 when the policy refuses something, with 5 when it refuses nothing but an archive could not be fetched.',
    )
    .argument(
      '<target>',
      'a folder of ./lockfiles/ or any lock’s folder, npm:<package>[@range] or pypi:<project>[specifier], an MCP client’s configuration (.json), or an image by what it says of itself',
    )
    .option('--policy <file>', 'policy whose section vetting decides; ./policy.yaml or yours by default')
    .option('--previous <folder>', 'the lock that this one follows: what is new is told')
    .option('--tools <file>', 'a tools.json of before: what changed is told')
    .option(
      '--advisories-url <url>',
      'ask OSV’s API, or one like it, instead of the kept exports; MCP_BUILD_ADVISORIES_API',
    )
    .addOption(repeated('--vex <file>', 'an OpenVEX document on flaws that do no harm', (word) => word))
    .option('--offline', 'ask nobody: archives from the cache, advisories as they were last updated')
    .option('--all', 'facts too: hosts, variables, compiled files, …')
    .addOption(new Option('--format <format>', 'what to print').choices(FORMATS).default('table'))
    .option('--output <file>', 'write it to a file instead')
    .addOption(jsonOption().conflicts('format'))
    .addOption(plainHttpOption())
    .addOption(certificatesOption())
    .addCommand(permissionsCommand())
    .addHelpText(
      'after',
      examples(
        ['mcp-build audit npm:@modelcontextprotocol/server-memory', 'before it is locked'],
        ['mcp-build audit server-memory', 'a lock, with the tools that were recorded beside it'],
        ['mcp-build audit server-memory --previous old/server-memory', 'in a review: what does the update bring?'],
        ['mcp-build audit server-memory --format html --output report.html', 'a report to read'],
        ['mcp-build audit registry.example.com/mcp/time:2026.10.19', 'an image, wherever it was built'],
        ['mcp-build audit ~/.cursor/mcp.json', 'every server that a client starts'],
      ),
    )
    .action(audit);
}

async function audit(text: string, options: Options): Promise<void> {
  const out = terminal(options);
  const environment = { ...process.env };
  const home = homeOf(environment);
  const workspace = process.cwd();
  const now = new Date();
  const { rules, file } = await vettingRules(environment, workspace, options.policy);
  if (file) out.note(`by the policy ${file}`);
  const settings: TargetOptions = { home, environment, workspace, now, progress: out.progress };
  const { targets, about } = await targetsOf(text, settings, registryOptions(options));
  const previous = options.previous === undefined ? undefined : await readLockFolder(options.previous);
  const earlierTools =
    options.tools === undefined
      ? undefined
      : parseTools(await readNamed(options.tools, 'list of tools'), options.tools);
  const vex = await Promise.all(
    (options.vex ?? []).map(async (path) => parseVex(await readNamed(path, 'VEX document'), path)),
  );
  const audited: Audited[] = [];
  for (const { folder, tools } of targets) {
    audited.push(
      await auditLock(folder, {
        home,
        environment,
        workspace,
        rules,
        offline: options.offline,
        api: advisoriesApi(environment, options.advisoriesUrl),
        vex,
        tools,
        earlierTools,
        previous,
        unfetched: 'named',
        now,
        progress: out.progress,
      }),
    );
  }
  const lists = new Map(targets.flatMap(({ name, tools }) => (tools ? [[name, tools] as const] : [])));
  const together = decide([...about, ...checkTogether(lists)], rules, now);
  const refused = audited.some((one) => one.refused.length > 0) || together.refused.length > 0;
  const document = { audited: audited.map(summary), together: together.findings, refused };
  const format = options.json ? 'json' : (options.format ?? 'table');
  const reports: Report[] = audited.map((one) => reportOf(one, file, now));
  if (together.findings.length > 0) reports.push(togetherReport(text, together, file, now));
  const shown = render(format, { document, reports, audited, about: together.findings, all: options.all === true });
  if (options.output === undefined) {
    await out.result(document, shown.trimEnd());
  } else {
    await writeAtomic(options.output, `${shown.trimEnd()}\n`);
    out.note(`wrote ${options.output}`);
  }
  const missing = audited.reduce((sum, { unfetched }) => sum + unfetched.size, 0);
  if (missing > 0) out.note(`${missing} archives could not be fetched: run it again before you trust what it says`);
  if (refused) process.exitCode = 4;
  // Whatever the policy makes of it: what nobody has looked into has not passed.
  else if (missing > 0) process.exitCode = 5;
}

async function targetsOf(
  text: string,
  options: TargetOptions,
  registry: Omit<RegistryOptions, 'environment'>,
): Promise<{ targets: Target[]; about: Finding[] }> {
  switch (await targetKind(text, options.workspace)) {
    case 'source':
      return { targets: [await sourceTarget(text, options)], about: [] };
    case 'lock':
      return { targets: [await lockTarget(text, options)], about: [] };
    case 'image': {
      const { home, environment, workspace, now } = options;
      const { store, image, name } = await findImage(text, home, { environment, ...registry }).catch(
        (error: unknown) => {
          // A name may have been meant for a lock; that no image has it is only half of the answer.
          if (!isFault(error, 'not-found') || /[/:@]/.test(text)) throw error;
          throw new McpBuildError({
            code: 'not-found',
            message: `${text} is neither a lock under ./lockfiles/ nor an image in the local store`,
            input: text,
            fix: 'Check the name (`mcp-build list` shows the images), or name what is to be locked as npm:… or pypi:….',
            exit: 1,
            cause: error,
          });
        },
      );
      const target = await imageTarget(store, image, name);
      // Who signed what it says of itself is for the policy to know.
      return {
        targets: [target],
        about: [...(await judgeImage(store, image, name, { home, environment, workspace, now }))],
      };
    }
    case 'config': {
      const targets: Target[] = [];
      const about: Finding[] = [];
      for (const { name, source, pinned, command } of await configuredServers(text)) {
        const how = command === undefined ? 'Runs elsewhere' : `Is started with ${printed(command)}`;
        if (!pinned) about.push(finding('unpinned', name, `${how}: what that is may change any day`));
        if (source === undefined) {
          about.push(
            finding(
              'not-checked',
              name,
              command === undefined ? `${how}, where nobody can look into it` : `${how}, which names no package`,
              {
                remedy:
                  command === undefined
                    ? 'Ask whoever runs it what they vet and pin.'
                    : 'Start a package, with npx, uvx or `mcp-build run`; an image is audited by its name.',
              },
            ),
          );
        }
        if (source === undefined) continue;
        try {
          const one = await targetsOf(source, options, registry);
          targets.push(...one.targets);
          about.push(...one.about);
        } catch (error) {
          // One that can't be read is no pass, and no reason to say nothing of the others.
          if (!(error instanceof McpBuildError)) throw error;
          about.push(finding('not-checked', name, `${error.message} [${error.code}]`, { severity: 'high' }));
        }
      }
      return { targets, about };
    }
  }
}

interface Rendering {
  readonly document: object;
  readonly reports: readonly Report[];
  readonly audited: readonly Audited[];
  readonly about: readonly Finding[];
  readonly all: boolean;
}

function render(format: (typeof FORMATS)[number], { document, reports, audited, about, all }: Rendering): string {
  switch (format) {
    case 'json':
      return JSON.stringify(document);
    case 'sarif':
      return sarif(reports);
    case 'markdown':
      return markdown(reports);
    case 'html':
      return html(reports);
    case 'table':
      return [...audited.map((one) => auditTable(one, all)), ...about.map(auditLine)].join('\n\n');
  }
}

function reportOf(one: Audited, policy: string | undefined, now: Date): Report {
  const { ecosystem, name, version: released } = one.lock.source;
  return {
    ...one,
    source: `${ecosystem}:${name}@${released}`,
    lock: lockDigest(one.lock),
    policy,
    now,
    version: version(),
  };
}

/** What is said of no single server: how a client starts them, what they do to each other, who signed an image. */
function togetherReport(
  text: string,
  { findings, refused }: Pick<Audited, 'findings' | 'refused'>,
  policy: string | undefined,
  now: Date,
): Report {
  return {
    name: text,
    source: 'all of it together',
    lock: undefined,
    findings,
    refused,
    packages: [],
    contents: new Map(),
    unfetched: new Map(),
    provenance: undefined,
    tools: undefined,
    advisories: undefined,
    policy,
    now,
    version: version(),
  };
}

function summary({ name, findings, refused, packages }: Audited) {
  return { name, packages: packages.length, findings, refused: refused.length };
}
