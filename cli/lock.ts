import { relative } from 'node:path';
import { Command, Option } from 'commander';
import { parsePackageName } from '../builders/debian/index.ts';
import {
  defaultName,
  formatSource,
  type Lock,
  PLATFORMS,
  type Platform,
  parseServerName,
  type Source,
} from '../builders/index.ts';
import { parseBase } from './line/base.ts';
import { checkLock } from './line/check.ts';
import { lockFolderOf, readEditedFolder, readLockFolder, writeLockFolder } from './line/folder.ts';
import { homeOf } from './line/home.ts';
import { hasBytecode, lockSource, packageCount, RELEASE_AGE_DAYS } from './line/lock.ts';
import { checkWanted, type Wanted, wantedSource } from './line/wanted.ts';
import { daysOption, examples, jsonOption, packageOption, platformOption, usage } from './options.ts';
import { terminal } from './terminal.ts';

interface Options {
  readonly name?: string;
  readonly platform?: readonly Platform[];
  readonly releaseAge: number;
  readonly package?: string;
  readonly bin?: string;
  readonly base?: string;
  readonly system?: readonly string[];
  readonly bytecode?: boolean;
  readonly refresh?: boolean;
  readonly check?: boolean;
  readonly json?: boolean;
}

export function lockCommand(): Command {
  return new Command('lock')
    .summary('resolve a server to pinned versions with hashes')
    .description(
      'Resolves an npm or PyPI server and everything it depends on, for every platform, and writes ./lockfiles/<name>/: native lock files that scanners and update bots read, and image.lock.json. Nothing of a package is executed.',
    )
    .argument(
      '<source|name>',
      'npm:<package>[@range], pypi:<project>[specifier], or path or address of a server.json; with --refresh or --check a folder of ./lockfiles/',
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
    .addOption(new Option('--refresh', 'follow the native lock files, which a bot has bumped').conflicts('check'))
    .option('--check', 'hold every file of a lock against what its index says today')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build lock npm:@modelcontextprotocol/server-memory', 'the newest release that is three days old'],
        ['mcp-build lock pypi:mcp-server-time==2026.1.26 --name time', 'one version, under a name of your own'],
        ['mcp-build lock pypi:mcp-server-git --system git', 'a server that starts git'],
        ['mcp-build lock ./server.json --package npm', 'as its author published it in the MCP Registry'],
        ['mcp-build lock npm:some-server --platform linux/arm64', 'for one platform only'],
        ['mcp-build lock --refresh server-memory', 'after a bot has bumped its package-lock.json'],
        ['mcp-build lock --check server-memory', 'in a review: was a file swapped together with its hash?'],
      ),
    )
    .action(async (text: string, options: Options) => {
      if (options.check) return check(text, options);
      return lock(text, options);
    });
}

async function lock(text: string, options: Options): Promise<void> {
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
  const locked = await lockSource(source, {
    name,
    platforms: unique(options.platform ?? (kept ? platformsOf(kept.lock) : PLATFORMS)),
    releaseAge: options.releaseAge,
    ...(bin === undefined ? {} : { bin }),
    ...(base === undefined ? {} : { base }),
    ...(system === undefined ? {} : { system }),
    ...(bytecode === undefined ? {} : { bytecode }),
    ...(kept ? { native: kept.files } : {}),
    previous: previous?.lock,
    home,
    environment,
    workspace: process.cwd(),
    now: new Date(),
    launch: wanted.launch,
    progress: out.progress,
  });
  const { lock: made, files, installScripts } = locked;
  await checkWanted(wanted, locked, { home, environment, workspace: process.cwd() });
  await writeLockFolder(folder, { lock: made, files });
  for (const script of installScripts) out.note(`${script} has an install script; it never runs`);
  const packages = packageCount(made);
  await out.result(
    { name, source: formatSource(source), version: made.source.version, packages, folder, installScripts },
    `locked ${made.source.name} ${made.source.version}: ${packages} packages, ${platformsOf(made).join(', ')} → ${relative(process.cwd(), folder)}/`,
  );
}

async function check(name: string, options: Options): Promise<void> {
  const out = terminal(options);
  const environment = { ...process.env };
  const folder = lockFolderOf(process.cwd(), parseServerName(name));
  const { lock: made } = await readLockFolder(folder);
  out.progress(`asking the indexes about ${packageCount(made)} packages`);
  const findings = await checkLock(made, { home: homeOf(environment), environment, workspace: process.cwd() });
  const bad = findings.filter(({ status }) => status !== 'unconfirmed');
  await out.result(
    { name, findings },
    [
      ...findings.map(
        ({ file, status, detail }) => `${status === 'unconfirmed' ? '·' : '✗'} ${status}  ${file}: ${detail}`,
      ),
      bad.length === 0
        ? `${name}: every package has the hash that its index lists`
        : `${name}: ${bad.length} files are not what their index lists`,
    ].join('\n'),
  );
  if (bad.length > 0) process.exitCode = 4;
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
