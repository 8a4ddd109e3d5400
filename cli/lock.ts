import { relative } from 'node:path';
import { Command, Option } from 'commander';
import { parsePackageName } from '../builders/debian/index.ts';
import {
  defaultName,
  formatSource,
  type Lock,
  looksLikeServerJson,
  looksLikeSource,
  PLATFORMS,
  type Platform,
  parseServerName,
  type Source,
} from '../builders/index.ts';
import { McpBuildError } from '../errors/index.ts';
import type { Finding } from '../vetting/index.ts';
import { explain } from './fault.ts';
import { type LimitFlags, limitOptions, limitsOf } from './limits.ts';
import { policyAge, vettingRules, withReleaseAge } from './line/audit-policy.ts';
import { parseBase } from './line/base.ts';
import { checkLock } from './line/check.ts';
import { type EntryOptions, lockDifferences, lockEntry } from './line/entry.ts';
import { lockFolderOf, readEditedFolder, readLockFolder, writeLockFolder } from './line/folder.ts';
import { homeOf } from './line/home.ts';
import { hasBytecode, type Locked, lockSource, packageCount, RELEASE_AGE_DAYS } from './line/lock.ts';
import { vetLock } from './line/lock-vet.ts';
import { findManifest, MANIFEST, readManifest, type ServerEntry, serverEntry } from './line/manifest/index.ts';
import { checkWanted, keepLocal, localPlaces, type Wanted, wantedSource } from './line/wanted.ts';
import {
  daysOption,
  examples,
  jsonOption,
  packageOption,
  platformOption,
  type Transport,
  transportOption,
  usage,
} from './options.ts';
import { type Terminal, terminal } from './terminal.ts';

interface Options extends LimitFlags {
  readonly name?: string;
  readonly platform?: readonly Platform[];
  readonly releaseAge: number;
  readonly package?: string;
  readonly bin?: string;
  readonly base?: string;
  readonly system?: readonly string[];
  readonly bytecode?: boolean;
  readonly transport?: Transport;
  readonly refresh?: boolean;
  readonly check?: boolean;
  readonly policy?: string;
  readonly json?: boolean;
}

export function lockCommand(): Command {
  const command = new Command('lock')
    .summary('resolve a server to pinned versions with hashes')
    .description(
      'Resolves an npm or PyPI server and everything it depends on, for every platform, and writes ./lockfiles/<name>/: native lock files that scanners and update bots read, and image.lock.json. Nothing of a package is executed. What the policy refuses of what was chosen (see `mcp-build audit`) is not written: exit 4.',
    )
    .argument(
      '[source|name]',
      `npm:<package>[@range], pypi:<project>[specifier], the path of a .tgz or .whl, or path or address of a server.json; a server of ${MANIFEST}; with --refresh or --check a folder of ./lockfiles/. Without it, every server of ${MANIFEST} whose lock isn’t what that asks for`,
    )
    .addOption(
      new Option('--name <name>', 'name of the server; its package’s last segment by default').argParser((value) =>
        usage(() => parseServerName(value)),
      ),
    )
    .addOption(platformOption(`platforms to lock; ${PLATFORMS.join(' and ')} by default`))
    .addOption(daysOption('--release-age <days>', 'take no release younger than this; 0 takes any', RELEASE_AGE_DAYS))
    .addOption(packageOption())
    .option('--bin <name>', 'which command of the package to start, where it has several')
    .option('--base <image>', 'any OCI image by digest instead of the built-in base: oci:DIR@sha256:…')
    .addOption(
      new Option(
        '--system <package>',
        'a Debian package that the server starts or loads, with all it needs; may be repeated',
      ).argParser((value: string, previous: readonly string[] | undefined) => [
        ...(previous ?? []),
        usage(() => parsePackageName(value)),
      ]),
    )
    .option('--bytecode', 'Python byte-code; on by default where this machine can compile it')
    .option('--no-bytecode', 'no Python byte-code: a smaller image, whose server starts slower')
    .addOption(transportOption());
  for (const option of limitOptions()) command.addOption(option);
  return command
    .addOption(new Option('--refresh', 'follow the native lock files, which a bot has bumped').conflicts('check'))
    .option('--check', 'hold every file of a lock against what its index says today')
    .option('--policy <file>', 'policy whose section vetting decides; ./policy.yaml or yours by default')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build lock', `every server of ${MANIFEST} that has no lock yet, or was changed`],
        ['mcp-build lock npm:@modelcontextprotocol/server-memory', 'the newest release that is three days old'],
        ['mcp-build lock pypi:mcp-server-time==2026.1.26 --name time', 'one version, under a name of your own'],
        ['mcp-build lock pypi:mcp-server-git --system git', 'a server that starts git'],
        ['mcp-build lock ./server.json --package npm', 'as its author published it in the MCP Registry'],
        ['mcp-build lock ./my-server-1.0.0.tgz', 'a file that no index has, as `npm pack` made it'],
        ['mcp-build lock npm:some-server --platform linux/arm64', 'for one platform only'],
        ['mcp-build lock --refresh server-memory', 'after a bot has bumped its package-lock.json'],
        ['mcp-build lock --check server-memory', 'in a review: was a file swapped together with its hash?'],
      ),
    )
    .action(async (text: string | undefined, options: Options, command: Command) => {
      if (options.check) return check(text, options);
      if (text === undefined) return lockAll(options);
      const isSource = looksLikeSource(text) || looksLikeServerJson(text);
      const entry = options.refresh || isSource ? undefined : await entryOf(text);
      const age = command.getOptionValueSource('releaseAge') === 'cli';
      if (!entry) return lock(text, options, age);
      onlyOwnFlags(entry.name, command);
      return lockOne(entry, options, age);
    });
}

async function entryOf(name: string): Promise<ServerEntry | undefined> {
  const manifest = await findManifest(process.cwd());
  return manifest && serverEntry(manifest, name);
}

/** What is in the manifest is said there: a flag would make a lock that the next command calls outdated. */
function onlyOwnFlags(name: string, command: Command): void {
  const given = ['name', 'platform', 'bin', 'base', 'system', 'bytecode', 'transport'].find(
    (flag) => command.getOptionValueSource(flag) === 'cli',
  );
  if (given === undefined) return;
  throw new McpBuildError({
    code: 'flag-of-manifest',
    message: `What --${given} says of ${name} stands in ${MANIFEST}`,
    input: name,
    fix: `Change ${given} of ${name} there, and lock it again.`,
    exit: 2,
  });
}

async function lockOne(entry: ServerEntry, options: Options, age: boolean): Promise<void> {
  const out = terminal(options);
  const { rules } = await vettingRules({ ...process.env }, process.cwd(), options.policy ?? (await policyOfManifest()));
  const { made, findings } = await lockEntry(entry, {
    ...entryOptions(out.progress),
    rules,
    ...(age ? { releaseAge: options.releaseAge } : {}),
  });
  noticed(out, made, findings);
  await out.result(lockedOf(entry.name, made, findings), lockedLine(entry.name, made));
}

async function lockAll(options: Options): Promise<void> {
  const out = terminal(options);
  const { servers, policy } = await readManifest(process.cwd());
  const { rules } = await vettingRules({ ...process.env }, process.cwd(), options.policy ?? policy);
  const done: object[] = [];
  const lines: string[] = [];
  const failures: McpBuildError[] = [];
  for (const entry of servers) {
    try {
      const kept = await readLockFolder(lockFolderOf(process.cwd(), entry.name)).catch(() => undefined);
      if (kept && (await lockDifferences(entry, kept)).length === 0) {
        done.push({ name: entry.name, status: 'kept', version: kept.lock.source.version });
        lines.push(`kept ${entry.name} ${kept.lock.source.version}`);
        continue;
      }
      const { made, findings } = await lockEntry(entry, { ...entryOptions(out.progress), rules });
      noticed(out, made, findings);
      done.push({ status: 'locked', ...lockedOf(entry.name, made, findings) });
      lines.push(lockedLine(entry.name, made));
    } catch (error) {
      const { fault } = explain(error);
      failures.push(fault);
      done.push({
        name: entry.name,
        status: 'failed',
        error: { code: fault.code, message: fault.message, fix: fault.fix ?? null },
      });
      out.note(`${entry.name}: ${fault.message} [${fault.code}]${fault.fix ? `; fix: ${fault.fix}` : ''}`);
      lines.push(`failed ${entry.name}: ${fault.code}`);
    }
  }
  await out.result({ servers: done }, lines.join('\n') || 'no servers');
  const codes = new Set(failures.map(({ exit }) => exit));
  if (codes.size > 0) process.exitCode = codes.size === 1 ? [...codes][0]! : 1;
}

function entryOptions(progress: (line: string) => void): EntryOptions {
  const environment = { ...process.env };
  return { home: homeOf(environment), environment, workspace: process.cwd(), now: new Date(), progress };
}

/** What a person should look at before the lock is committed. */
function noticed(out: Terminal, { installScripts }: Locked, findings: readonly Finding[]): void {
  for (const script of installScripts) out.note(`${script} has an install script; it never runs`);
  const weighty = findings.filter(({ severity }) => !['low', 'none'].includes(severity));
  for (const { severity, code, subject, message } of weighty.slice(0, 10)) {
    out.note(`${severity}: ${subject} ${code}: ${message}`);
  }
  if (weighty.length > 10) out.note(`and ${weighty.length - 10} more: see mcp-build audit`);
}

async function policyOfManifest(): Promise<string | undefined> {
  return (await findManifest(process.cwd()))?.policy;
}

function lockedOf(name: string, { lock: made, installScripts }: Locked, findings: readonly Finding[]) {
  const folder = lockFolderOf(process.cwd(), name);
  return {
    name,
    source: formatSource(sourceOf(made)),
    version: made.source.version,
    packages: packageCount(made),
    folder,
    installScripts,
    findings,
  };
}

function lockedLine(name: string, { lock: made }: Locked): string {
  const folder = relative(process.cwd(), lockFolderOf(process.cwd(), name));
  return `locked ${made.source.name} ${made.source.version}: ${packageCount(made)} packages, ${platformsOf(made).join(', ')} → ${folder}/`;
}

async function lock(text: string, options: Options, age: boolean): Promise<void> {
  const out = terminal(options);
  const environment = { ...process.env };
  const home = homeOf(environment);
  const kept = options.refresh ? await readEditedFolder(lockFolderOf(process.cwd(), parseServerName(text))) : undefined;
  const wanted: Wanted = kept
    ? { source: sourceOf(kept.lock), ...(kept.lock.launch ? { launch: kept.lock.launch } : {}) }
    : await wantedSource(text, { home, environment, workspace: process.cwd(), package: options.package });
  const { source } = wanted;
  const name = kept?.lock.name ?? options.name ?? parseServerName(defaultName(source));
  const folder = lockFolderOf(process.cwd(), name);
  const previous = kept ?? (await readLockFolder(folder).catch(() => undefined));
  const bin = options.bin ?? kept?.lock.bin;
  const base = options.base === undefined ? kept?.lock.base : parseBase(options.base);
  const system = options.system ?? kept?.lock.system;
  const bytecode = options.bytecode ?? (kept ? hasBytecode(kept.lock) : undefined);
  const transport = options.transport ?? kept?.lock.transport;
  const { rules } = await vettingRules(environment, process.cwd(), options.policy);
  const releaseAge = age ? options.releaseAge : Math.max(options.releaseAge, policyAge(rules));
  const resolved = await lockSource(source, {
    name,
    platforms: unique(options.platform ?? (kept ? platformsOf(kept.lock) : PLATFORMS)),
    releaseAge,
    ...(bin === undefined ? {} : { bin }),
    ...(base === undefined ? {} : { base }),
    ...(system === undefined ? {} : { system }),
    ...(bytecode === undefined ? {} : { bytecode }),
    ...(transport === 'http' ? { transport } : {}),
    overrides: kept?.lock.overrides,
    ...(kept ? { native: kept.files } : {}),
    previous: previous?.lock,
    home,
    environment,
    workspace: process.cwd(),
    now: new Date(),
    limits: limitsOf(options),
    launch: wanted.launch,
    local: wanted.local,
    progress: out.progress,
  });
  await checkWanted(wanted, resolved, { home, environment, workspace: process.cwd() });
  const files = kept ? [folder] : localPlaces(text);
  const { made, findings } = await vetLock(resolved, {
    ...{ home, environment, workspace: process.cwd(), files, now: new Date(), previous, progress: out.progress },
    rules: withReleaseAge(rules, releaseAge),
  });
  await keepLocal(made, files, { home, environment });
  await writeLockFolder(folder, made);
  noticed(out, made, findings);
  await out.result(lockedOf(name, made, findings), lockedLine(name, made));
}

async function check(text: string | undefined, options: Options): Promise<void> {
  const out = terminal(options);
  const environment = { ...process.env };
  const workspace = process.cwd();
  const manifest = await findManifest(workspace);
  const names =
    text === undefined
      ? (manifest ?? (await readManifest(workspace))).servers.map(({ name }) => name)
      : [parseServerName(text)];
  const results = [];
  const lines: string[] = [];
  for (const name of names) {
    const found = await readLockFolder(lockFolderOf(workspace, name));
    const entry = manifest?.servers.find((one) => one.name === name);
    const outdated = entry ? await lockDifferences(entry, found) : [];
    out.progress(`${name}: asking the indexes about ${packageCount(found.lock)} packages`);
    const findings = await checkLock(found.lock, { home: homeOf(environment), environment, workspace });
    const bad = findings.filter(({ status }) => status !== 'unconfirmed').length + outdated.length;
    results.push({ name, findings, outdated });
    lines.push(
      ...outdated.map((detail) => `✗ outdated  ${detail}`),
      ...findings.map(
        ({ file, status, detail }) => `${status === 'unconfirmed' ? '·' : '✗'} ${status}  ${file}: ${detail}`,
      ),
      bad === 0
        ? `${name}: every package has the hash that its index lists`
        : `${name}: ${bad} ${bad === 1 ? 'thing is' : 'things are'} not as the manifest or the indexes say`,
    );
    if (bad > 0) process.exitCode = 4;
  }
  await out.result(text === undefined ? { servers: results } : results[0], lines.join('\n'));
}

function sourceOf({ source }: Lock): Source {
  return { ecosystem: source.ecosystem, name: source.name, range: source.range };
}

function platformsOf({ platforms }: Lock): Platform[] {
  return Object.keys(platforms) as Platform[];
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
