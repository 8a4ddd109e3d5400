import { readFile, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { COMMANDS, GROUPS } from '../../cli/commands.ts';

const REFERENCE = new URL('../../docs/commands.md', import.meta.url);

/** As a terminal of 100 columns shows it. */
function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({ writeOut: (part) => (text += part), getOutHelpWidth: () => 100 });
  command.outputHelp();
  return text.trimEnd();
}

async function all(): Promise<{ path: string; command: Command }[]> {
  const found: { path: string; command: Command }[] = [];
  const add = (command: Command, before: string) => {
    const path = `${before} ${command.name()}`;
    found.push({ path, command });
    for (const child of command.commands) add(child, path);
  };
  for (const { load } of Object.values(COMMANDS)) add(await load(), 'mcp-build');
  return found;
}

describe('commands', () => {
  it('each say what they do, take --json where they print a result, and give an example', async () => {
    for (const { path, command } of await all()) {
      expect(command.summary() || command.description(), path).not.toBe('');
      if (command.commands.length > 0) continue;
      const help = helpOf(command);
      expect(help, path).toContain('Examples:');
      // stdout of `run` belongs to the protocol, the demo is for people, and a schema is JSON anyway.
      if (/ (?:run|attach|demo|schema)$/.test(path)) continue;
      expect(help, path).toContain('--json');
    }
  });

  it('stand in one group of the help each', () => {
    expect(Object.values(GROUPS).flat().sort()).toEqual(Object.keys(COMMANDS).sort());
  });

  it('are in docs/commands.md as their help has them (UPDATE_DOCS=1 writes it)', async () => {
    const parts = [
      '# Commands',
      '',
      'Exit codes: 0 done · 1 failed · 2 wrong usage · 3 verification refused · 4 a gate refused · 5 network.',
    ];
    for (const { path, command } of await all()) {
      // Named as on the command line, whoever added the command to what.
      const help = helpOf(command).replace(/^Usage: .*?\[options\]/, `Usage: ${path} [options]`);
      parts.push('', `## ${path}`, '', '```', help, '```');
    }
    const text = `${parts.join('\n')}\n`;
    if (process.env.UPDATE_DOCS) await writeFile(REFERENCE, text);
    expect(await readFile(REFERENCE, 'utf8')).toBe(text);
  });
});
