import { resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { isDigest } from '../digest/index.ts';
import { decrypterOf } from './backup.ts';
import { homeOf } from './line/home.ts';
import { examples, jsonOption, repeated } from './options.ts';
import { table, terminal } from './terminal.ts';

interface Flags {
  readonly identity?: string;
  readonly digest?: `sha256:${string}`;
  readonly folder?: string;
  readonly only?: readonly string[];
  readonly replace?: boolean;
  readonly json?: boolean;
}

const ONLY = ['state', 'config', 'workspace', 'images', 'included'] as const;

export function restoreCommand(): Command {
  return new Command('restore')
    .summary('put a backup back')
    .description(
      'Reads and checks a whole snapshot before it changes anything. What is there already is refused, or with --replace moved aside under a name that begins with before-restore-.',
    )
    .argument('<folder>', 'where backups are kept')
    .argument('[id]', 'which snapshot; the newest without it')
    .option('--identity <file>', 'a key file of age; without it the passphrase is asked for')
    .addOption(
      new Option('--digest <digest>', 'restore only the backup that had this digest when it was made').argParser(
        (value: string) => {
          if (!isDigest(value)) throw new InvalidArgumentError('Give what `mcp-build backup` printed: sha256:….');
          return value;
        },
      ),
    )
    .option('--folder <folder>', 'where the workspace goes; where it was without it')
    .addOption(
      repeated('--only <part>', `restore only this: ${ONLY.join(', ')}`, (word) => {
        if (!(ONLY as readonly string[]).includes(word))
          throw new InvalidArgumentError(`Give one of ${ONLY.join(', ')}.`);
        return word;
      }),
    )
    .option('--replace', 'move aside what is there')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build restore /backups/mcp', 'everything, on an empty machine'],
        ['mcp-build restore /backups/mcp --only images --replace', 'a lost or damaged store'],
      ),
    )
    .action(async (folder: string, id: string | undefined, flags: Flags) => {
      const out = terminal(flags);
      const environment = { ...process.env };
      const home = homeOf(environment);
      const [{ placeOf }, { openSnapshot }, { restoreBackup }, { configFolder }] = await Promise.all([
        import('./line/backup/place.ts'),
        import('./line/backup/check.ts'),
        import('./line/backup/restore.ts'),
        import('./line/backup/parts.ts'),
      ]);
      const place = placeOf(resolve(folder));
      const decrypter = await decrypterOf(place.identity, flags.identity);
      const snapshot = await openSnapshot(place, id, decrypter, flags.digest);
      const wants = (part: string) => flags.only === undefined || flags.only.includes(part);
      const restored = await restoreBackup(place, snapshot, {
        home,
        decrypter,
        images: wants('images'),
        replace: flags.replace === true,
        target: (part, path) => {
          if (part === 'state') return wants('state') ? home.root : undefined;
          if (part === 'config') return wants('config') ? configFolder(environment) : undefined;
          if (part === 'workspace') return wants('workspace') ? resolve(flags.folder ?? path) : undefined;
          return wants('included') ? path : undefined;
        },
        progress: out.progress,
      });
      const lines = restored.parts.map(({ part, path, files }) => [part, `${files} files`, path]);
      const aside = restored.aside.map((path) => `was there before: ${path}`);
      await out.result(
        restored,
        [`restored ${restored.id}`, table([...lines, ['images', `${restored.images}`, home.store]]), ...aside].join(
          '\n',
        ),
      );
    });
}
