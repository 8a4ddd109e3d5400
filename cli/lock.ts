import { relative } from 'node:path';
import { Command, Option } from 'commander';
import { defaultName, PLATFORMS, type Platform, parseServerName, parseSource } from '../builders/index.ts';
import { parseBase } from './line/base.ts';
import { lockFolderOf, writeLockFolder } from './line/folder.ts';
import { homeOf } from './line/home.ts';
import { lockSource, packageCount, RELEASE_AGE_DAYS } from './line/lock.ts';
import { daysOption, examples, jsonOption, platformOption, usage } from './options.ts';
import { terminal } from './terminal.ts';

interface Options {
  readonly name?: string;
  readonly platform?: readonly Platform[];
  readonly releaseAge: number;
  readonly bin?: string;
  readonly base?: string;
  readonly json?: boolean;
}

export function lockCommand(): Command {
  return new Command('lock')
    .summary('resolve a server to pinned versions with hashes')
    .description(
      'Resolves an npm or PyPI server and everything it depends on, for every platform, and writes ./lockfiles/<name>/: native lock files that scanners and update bots read, and image.lock.json. Nothing of a package is executed.',
    )
    .argument('<source>', 'npm:<package>[@range] or pypi:<project>[specifier]')
    .addOption(
      new Option('--name <name>', 'name of the server; its package’s last segment by default').argParser((value) =>
        usage(() => parseServerName(value)),
      ),
    )
    .addOption(platformOption(`platforms to lock; ${PLATFORMS.join(' and ')} by default`))
    .addOption(daysOption('--release-age <days>', 'take no release younger than this; 0 takes any', RELEASE_AGE_DAYS))
    .option('--bin <name>', 'which command of the package to start, where it has several')
    .option('--base <image>', 'any OCI image by digest instead of the built-in base: oci:DIR@sha256:…')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build lock npm:@modelcontextprotocol/server-memory', 'the newest release that is three days old'],
        ['mcp-build lock pypi:mcp-server-time==2026.1.26 --name time', 'one version, under a name of your own'],
        ['mcp-build lock npm:some-server --platform linux/arm64', 'for one platform only'],
      ),
    )
    .action(async (text: string, options: Options) => {
      const out = terminal(options);
      const source = parseSource(text);
      const name = options.name ?? parseServerName(defaultName(source));
      const environment = { ...process.env };
      const home = homeOf(environment);
      const { lock, files, installScripts } = await lockSource(source, {
        name,
        platforms: unique(options.platform ?? PLATFORMS),
        releaseAge: options.releaseAge,
        ...(options.bin === undefined ? {} : { bin: options.bin }),
        ...(options.base === undefined ? {} : { base: parseBase(options.base) }),
        home,
        environment,
        workspace: process.cwd(),
        now: new Date(),
        progress: out.progress,
      });
      const folder = lockFolderOf(process.cwd(), name);
      await writeLockFolder(folder, { lock, files });
      for (const script of installScripts) out.note(`${script} has an install script; it never runs`);
      const packages = packageCount(lock);
      await out.result(
        { name, source: text, version: lock.source.version, packages, folder, installScripts },
        `locked ${lock.source.name} ${lock.source.version}: ${packages} packages, ${Object.keys(lock.platforms).join(', ')} → ${relative(process.cwd(), folder)}/`,
      );
    });
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
