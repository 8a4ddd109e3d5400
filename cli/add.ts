import { relative, sep } from 'node:path';
import { Command, Option } from 'commander';
import { parsePackageName } from '../builders/debian/index.ts';
import {
  defaultName,
  formatSource,
  looksLikeFile,
  parseServerName,
  parseSource,
  type Source,
} from '../builders/index.ts';
import { type Permissions, parseNetwork, parseVolume, type Volume } from '../runner/index.ts';
import { addServer, editManifest, MANIFEST, type NewServer } from './line/manifest/index.ts';
import { examples, jsonOption, repeated, usage } from './options.ts';
import { terminal } from './terminal.ts';

interface Options {
  readonly name?: string;
  readonly bin?: string;
  readonly arg?: readonly string[];
  readonly env?: readonly [string, string][];
  readonly secret?: readonly string[];
  readonly allowNet?: Permissions['network'];
  readonly volume?: readonly Volume[];
  readonly system?: readonly string[];
  readonly json?: boolean;
}

export function addCommand(): Command {
  return new Command('add')
    .summary(`put a server into ${MANIFEST}`)
    .description(
      `Adds a server to the ${MANIFEST} of this folder, which is made where there is none. Comments and formatting stay as they are. Lock it next.`,
    )
    .argument(
      '<source>',
      'npm:<package>[@range], pypi:<project>[specifier], or the path of a .tgz or .whl below this folder',
    )
    .addOption(
      new Option('--name <name>', 'name of the server; its package’s last segment by default').argParser((value) =>
        usage(() => parseServerName(value)),
      ),
    )
    .option('--bin <name>', 'which command of the package to start, where it has several')
    .addOption(repeated('--arg <word>', 'what it is started with when the user gives no arguments', (word) => word))
    .addOption(repeated('--env <NAME=value>', 'a variable with its default value, which is published', variable))
    .addOption(repeated('--secret <NAME>', 'a variable whose value only the user has', (word) => word))
    .addOption(
      new Option('--allow-net <where>', 'all, or destinations: host:port,…').argParser((value) =>
        usage(() => parseNetwork(value)),
      ),
    )
    .addOption(repeated('--volume <path>', 'a path the server may be given; PATH:rw to write, too', parseVolume))
    .addOption(repeated('--system <package>', 'a Debian package that it starts or loads', parsePackageName))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build add npm:@modelcontextprotocol/server-memory', 'the newest release, as of when it is locked'],
        [
          'mcp-build add "pypi:mcp-server-fetch>=2026" --name fetch --allow-net all',
          'a range, under a name of your own',
        ],
        ['mcp-build add npm:some-server --secret API_KEY --allow-net api.example.com:443', 'one that needs a key'],
        ['mcp-build add ./vendor/our-server-1.0.0.tgz', 'one that no index has, committed with the manifest'],
      ),
    )
    .action(async (text: string, options: Options) => {
      const { source, file } = looksLikeFile(text)
        ? await packageIn(text)
        : { source: parseSource(text), file: undefined };
      const name = options.name ?? parseServerName(defaultName(source));
      const server = entryOf(formatSource(source), file, options);
      await editManifest(process.cwd(), (before) => addServer(before, MANIFEST, name, server));
      await terminal(options).result(
        { name, ...server },
        `added ${name} (${server.source}) to ${MANIFEST}; lock it next: mcp-build lock ${name}`,
      );
    });
}

/** Whichever version lies there is meant: it is another file's as soon as that is built anew. */
async function packageIn(text: string): Promise<{ readonly source: Source; readonly file: string }> {
  const { localFile, localPlaces } = await import('./line/wanted.ts');
  const { source } = await localFile(text);
  const [path = text] = localPlaces(text);
  return { source: { ...source, range: '' }, file: relative(process.cwd(), path).replaceAll(sep, '/') };
}

function entryOf(
  source: string,
  file: string | undefined,
  { bin, arg, env, secret, allowNet, volume, system }: Options,
): NewServer {
  const permissions = {
    ...(allowNet === undefined ? {} : { network: [...(typeof allowNet === 'string' ? [] : allowNet)] }),
    ...(typeof allowNet === 'string' ? { network: allowNet } : {}),
    ...(volume ? { volumes: volume.map(({ path, mode }) => (mode === 'ro' ? { path } : { path, mode })) } : {}),
  };
  return {
    source,
    ...(file === undefined ? {} : { file }),
    ...(bin === undefined ? {} : { bin }),
    ...(arg ? { args: [...arg] } : {}),
    ...(env ? { env: Object.fromEntries(env) } : {}),
    ...(secret ? { secrets: [...secret] } : {}),
    ...(Object.keys(permissions).length > 0 ? { permissions } : {}),
    ...(system ? { system: [...system] } : {}),
  };
}

function variable(word: string): [string, string] {
  const equals = word.indexOf('=');
  return equals < 0 ? [word, `\${${word}}`] : [word.slice(0, equals), word.slice(equals + 1)];
}
