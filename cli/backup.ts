import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Command } from 'commander';
import { retentionOf, type TakeFlags, takeOptions } from './backup-flags.ts';
import { scheduleCommand } from './backup-schedule.ts';
import type { Part } from './line/backup/parts.ts';
import { homeOf } from './line/home.ts';
import { newPassphrase, passphrase } from './line/passphrase.ts';
import { examples, jsonOption } from './options.ts';
import { bytes, table, terminal } from './terminal.ts';
import { version } from './version.ts';

interface OpenFlags {
  readonly identity?: string;
  readonly json?: boolean;
}

export function backupCommand(): Command {
  return (
    takeOptions(new Command('backup'))
      // `schedule` has the same flags: what follows its name is its own.
      .enablePositionalOptions()
      .summary('keep everything that would be missed, encrypted')
      .description(
        'Writes a snapshot of the state folder (keys, locks, accepted versions, tokens, audit log), the configuration, a workspace and the images with their signatures into a folder. All but the images, which hold nothing secret, is encrypted with age. What has not changed since the snapshot before is not written again.',
      )
      .addOption(jsonOption())
      .addCommand(listCommand())
      .addCommand(verifyCommand())
      .addCommand(scheduleCommand())
      .addHelpText(
        'after',
        examples(
          ['mcp-build backup --to /backups/mcp --folder .', 'asks for a passphrase the first time only'],
          ['mcp-build backup --to /backups/mcp --folder . --volumes', 'and what servers wrote'],
          ['mcp-build backup --to /backups/mcp --recipient age1… --keep 30', 'from cron, for the identity in a safe'],
          [
            'mcp-build backup --to /backups/mcp --keep-daily 7 --keep-weekly 5 --keep-monthly 12',
            'and forget the others, with what only they held',
          ],
          ['mcp-build backup schedule --to /backups/mcp', 'every night, by a timer of yours'],
          ['mcp-build backup verify /backups/mcp', 'read every byte of the newest'],
          ['mcp-build restore /backups/mcp', 'put it back'],
        ),
      )
      .action(async (flags: Partial<TakeFlags>) => {
        const { to, ...options } = flags;
        if (to === undefined) throw await missingPlace();
        await take({ images: true, ...options, to });
      })
  );
}

async function take(flags: TakeFlags): Promise<void> {
  const out = terminal(flags);
  const environment = { ...process.env };
  const home = homeOf(environment);
  const [{ configPart, statePart, workspacePart }, { placeOf }, { takeBackup }, volumes] = await Promise.all([
    import('./line/backup/parts.ts'),
    import('./line/backup/place.ts'),
    import('./line/backup/take.ts'),
    import('./line/backup/volumes.ts'),
  ]);
  const { existsSync } = await import('node:fs');
  const own: readonly Part[] = [statePart(home), configPart(environment)].filter(({ path }) => existsSync(path));
  const folder = flags.folder === undefined ? undefined : resolve(flags.folder);
  const included = flags.include ?? [];
  const written = volumes.notWithin(await volumes.writtenVolumes(home, folder), included);
  const parts = [
    ...own,
    ...(folder === undefined ? [] : [workspacePart(folder)]),
    ...[...included, ...(flags.volumes ? written : [])].map((path) => ({ name: path, path })),
  ];
  const retention = retentionOf(flags);
  const taken = await takeBackup(placeOf(resolve(flags.to)), {
    home,
    parts,
    recipients: flags.recipient ?? [],
    passphrase: () => newPassphrase(environment),
    images: flags.images,
    ...(retention ? { keep: retention } : {}),
    program: `mcp-build ${version()}`,
    now: new Date(),
    progress: out.progress,
  });
  const changed = `${taken.written} of ${taken.archives} archives and ${bytes(taken.bytes)} were new`;
  const left = flags.volumes ? [] : written;
  if (left.length > 0)
    out.note(
      `not in it, though servers could write there: ${left.join(', ')}; take ${left.length === 1 ? 'it' : 'all of them'} along with --volumes, or one with --include <path>`,
    );
  const forgot = taken.dropped.length > 0 ? `; forgot ${taken.dropped.length} older ones` : '';
  await out.result(
    { ...taken, left },
    `backup ${taken.id}: ${taken.images} images, ${changed}${forgot}\ndigest ${taken.digest}  (restore with --digest to be sure that it is this one)`,
  );
}

function listCommand(): Command {
  return new Command('list')
    .summary('show the backups in a folder')
    .description('Lists the snapshots of a folder, oldest first. Needs no identity.')
    .argument('<folder>', 'where backups are kept')
    .addOption(jsonOption())
    .addHelpText('after', examples(['mcp-build backup list /backups/mcp', 'a table']))
    .action(async (folder: string, options: { readonly json?: boolean }) => {
      const out = terminal(options);
      const { placeOf, readList, snapshotIds } = await import('./line/backup/place.ts');
      const place = placeOf(resolve(folder));
      const snapshots = [];
      for (const id of await snapshotIds(place)) snapshots.push(await readList(place, id));
      await out.result(
        { snapshots },
        table(
          snapshots.map(({ id, created, archives, images, recipients }) => [
            id,
            created,
            `${images.length} images`,
            bytes(archives.reduce((sum, { size }) => sum + size, 0)),
            recipients.join(' '),
          ]),
        ),
      );
    });
}

function verifyCommand(): Command {
  return new Command('verify')
    .summary('read every byte of a backup and name what is damaged')
    .description(
      'Hashes every archive and every blob of a snapshot; with an identity (or the passphrase) it also opens the archives and compares each file with its list. Exit code 3 when anything is damaged.',
    )
    .argument('<folder>', 'where backups are kept')
    .argument('[id]', 'which snapshot; the newest without it')
    .option('--identity <file>', 'a key file of age')
    .option('--sealed', 'don’t open the archives: neither identity nor passphrase is asked for')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build backup verify /backups/mcp --sealed', 'from cron, without any secret'],
        ['mcp-build backup verify /backups/mcp --identity key.txt', 'and compare each file'],
      ),
    )
    .action(async (folder: string, id: string | undefined, options: OpenFlags & { readonly sealed?: boolean }) => {
      const out = terminal(options);
      const { placeOf } = await import('./line/backup/place.ts');
      const { checkBackup } = await import('./line/backup/check.ts');
      const place = placeOf(resolve(folder));
      const decrypter = options.sealed ? undefined : await decrypterOf(place.identity, options.identity);
      const checked = await checkBackup(place, id, decrypter);
      const what = `${checked.archives} archives${checked.decrypted ? ', opened' : ' (not opened)'}, ${checked.images} images, ${checked.blobs} blobs`;
      await out.result(
        checked,
        checked.faults.length === 0
          ? `backup ${checked.id} is whole: ${what}`
          : [`backup ${checked.id} is damaged: ${what}`, ...checked.faults.map(({ message }) => `  ${message}`)].join(
              '\n',
            ),
      );
      if (checked.faults.length > 0) process.exitCode = 3;
    });
}

/** The one who may open backups: a key file, else the place's own identity by its passphrase. */
export async function decrypterOf(ownIdentity: string, file: string | undefined) {
  const { decrypterFor, openIdentity, readIdentities } = await import('./line/backup/seal.ts');
  if (file !== undefined) return decrypterFor(await readIdentities(file));
  const sealed = await readFile(ownIdentity).catch(() => undefined);
  if (!sealed) {
    const { McpBuildError } = await import('../errors/index.ts');
    throw new McpBuildError({
      code: 'identity-missing',
      message: 'These backups are encrypted for a recipient, not with a passphrase',
      input: ownIdentity,
      fix: 'Name the key file with --identity.',
      exit: 2,
    });
  }
  const secret = await passphrase('Passphrase of the backups: ', { ...process.env });
  return decrypterFor([await openIdentity(sealed, secret, ownIdentity)]);
}

async function missingPlace() {
  const { McpBuildError } = await import('../errors/index.ts');
  return new McpBuildError({
    code: 'backup-place-missing',
    message: 'It isn’t said where the backup goes',
    fix: 'Add --to <folder>.',
    exit: 2,
  });
}
