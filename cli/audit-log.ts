import { resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { verifyAuditLog } from '../gateway/index.ts';
import { homeOf } from './line/home.ts';
import { auditFolder } from './line/serve.ts';
import { examples, jsonOption } from './options.ts';
import { terminal } from './terminal.ts';

interface Anchor {
  readonly n: number;
  readonly hash: string;
}

export function auditLogCommand(): Command {
  return new Command('audit-log')
    .summary('check the record of who called what')
    .description(
      'The gateway records each call of a tool, prompt or resource in lines that hang together by their hashes. See docs/watching.md.',
    )
    .addCommand(verifyCommand())
    .addHelpText('after', examples(['mcp-build audit-log verify', 'whether anything was changed or removed']));
}

function verifyCommand(): Command {
  return new Command('verify')
    .summary('find any change, gap or cut in the log')
    .description(
      'Reads the whole log. It prints the number and hash of the last record: kept elsewhere and given as --anchor later, they show even that everything was written anew. Exit code 3 when something is wrong.',
    )
    .argument('[folder]', 'where the log is; in the state folder without it')
    .addOption(
      new Option('--anchor <n:hash>', 'a record that must be in it, as this command printed it').argParser(
        (value: string): Anchor => {
          const match = /^(\d{1,15}):([0-9a-f]{64})$/.exec(value);
          if (!match) throw new InvalidArgumentError('Give a number, a colon and 64 hexadecimal digits.');
          return { n: Number(match[1]), hash: match[2] ?? '' };
        },
      ),
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build audit-log verify', 'the log of this machine’s gateway'],
        ['mcp-build audit-log verify --anchor 4711:09f2…', 'and that record 4711 is still the same'],
      ),
    )
    .action(async (folder: string | undefined, options: { readonly anchor?: Anchor; readonly json?: boolean }) => {
      const out = terminal(options);
      const place = folder === undefined ? auditFolder(homeOf({ ...process.env })) : resolve(folder);
      const verified = await verifyAuditLog(place, options.anchor);
      const { records, segments, head, faults } = verified;
      const text =
        faults.length === 0
          ? `${counted(records, 'record')} in ${counted(segments, 'file')}, unbroken; the last is ${head.n}:${head.hash}`
          : [
              `the log in ${place} was changed or damaged:`,
              ...faults.map(({ file, line, message }) => `  ${file}:${line} ${message}`),
            ].join('\n');
      await out.result(verified, text);
      if (faults.length > 0) process.exitCode = 3;
    });
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
