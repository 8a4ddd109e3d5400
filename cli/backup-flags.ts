import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Retention } from './line/backup/retention.ts';
import { repeated } from './options.ts';

/** What `backup` is told of a snapshot; `backup schedule` takes the same words, and has them said each time. */
export interface TakeFlags {
  readonly to: string;
  readonly recipient?: readonly string[];
  readonly folder?: string;
  readonly include?: readonly string[];
  readonly volumes?: boolean;
  readonly images: boolean;
  readonly keep?: number;
  readonly keepDaily?: number;
  readonly keepWeekly?: number;
  readonly keepMonthly?: number;
  readonly json?: boolean;
}

export function takeOptions(command: Command): Command {
  return command
    .option('--to <folder>', 'where backups are kept')
    .addOption(
      repeated(
        '--recipient <age1…>',
        'encrypt for this age recipient instead of a passphrase; remembered',
        (word) => word,
      ),
    )
    .option('--folder <folder>', 'a workspace whose manifest, locks and policy are kept, too')
    .addOption(
      repeated(
        '--include <path>',
        'keep this file or folder, too: volumes of servers, a gateway’s config.json',
        resolve,
      ),
    )
    .option('--volumes', 'keep every folder, too, that a server could write to when it was started')
    .option('--no-images', 'leave the images out')
    .addOption(keepOption('--keep <count>', 'keep the newest so many; what none of these four keeps is forgotten'))
    .addOption(keepOption('--keep-daily <count>', 'keep the newest of each of so many days'))
    .addOption(keepOption('--keep-weekly <count>', 'keep the newest of each of so many weeks'))
    .addOption(keepOption('--keep-monthly <count>', 'keep the newest of each of so many months'));
}

/** Without any of the flags nothing is forgotten. */
export function retentionOf({ keep, keepDaily, keepWeekly, keepMonthly }: TakeFlags): Retention | undefined {
  if ([keep, keepDaily, keepWeekly, keepMonthly].every((count) => count === undefined)) return undefined;
  return {
    ...(keep ? { last: keep } : {}),
    ...(keepDaily ? { daily: keepDaily } : {}),
    ...(keepWeekly ? { weekly: keepWeekly } : {}),
    ...(keepMonthly ? { monthly: keepMonthly } : {}),
  };
}

/** The same flags as words for another process, in another folder; without where it goes. */
export function takeWords(flags: TakeFlags): readonly string[] {
  const counts = { keep: flags.keep, 'keep-daily': flags.keepDaily, 'keep-weekly': flags.keepWeekly };
  return [
    ...(flags.recipient ?? []).flatMap((recipient) => ['--recipient', recipient]),
    ...(flags.folder === undefined ? [] : ['--folder', resolve(flags.folder)]),
    ...(flags.include ?? []).flatMap((path) => ['--include', path]),
    ...(flags.volumes ? ['--volumes'] : []),
    ...(flags.images ? [] : ['--no-images']),
    ...Object.entries({ ...counts, 'keep-monthly': flags.keepMonthly }).flatMap(([name, count]) =>
      count === undefined ? [] : [`--${name}`, `${count}`],
    ),
  ];
}

function keepOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser((value: string) => {
    const count = Number(value);
    if (!Number.isInteger(count) || count < 1 || count > 100_000)
      throw new InvalidArgumentError('Give a whole number from 1.');
    return count;
  });
}
