import type { McpBuildError } from '../errors/index.ts';

/** What a command says to a person or a script. stdout is for the result alone: for `run` it belongs to the protocol. */
export interface Terminal {
  /** One line on what is going on; shown only where somebody looks, and replaced by the next. */
  progress(line: string): void;
  /** A line that matters to the user, on stderr. */
  note(line: string): void;
  /** The result: one JSON document with `--json`, else the text. */
  result(json: unknown, text: string): Promise<void>;
  /** Takes the progress line away. */
  clear(): void;
}

export function terminal(options: { readonly json?: boolean }): Terminal {
  const interactive = process.stderr.isTTY === true;
  let shown = false;
  const clear = () => {
    if (shown) process.stderr.write('\r\u001b[K');
    shown = false;
  };
  return {
    clear,
    progress(line) {
      if (!interactive) return;
      const width = Math.max(20, (process.stderr.columns ?? 80) - 1);
      process.stderr.write(`\r\u001b[K${printable(line).slice(0, width)}`);
      shown = true;
    },
    note(line) {
      clear();
      process.stderr.write(`mcp-build: ${printable(line)}\n`);
    },
    async result(json, text) {
      clear();
      // To a file or another program the bytes are as they are.
      const shown = process.stdout.isTTY === true ? printable(text.replaceAll('\r\n', '\n')) : text;
      const out = options.json ? `${JSON.stringify(json)}\n` : text === '' ? '' : `${shown}\n`;
      await new Promise<void>((resolve, reject) =>
        process.stdout.write(out, (error) => (error ? reject(error) : resolve())),
      );
    },
  };
}

/** An error as two lines at most: what went wrong, and what to do. */
export function describe(error: McpBuildError): string {
  const fix = error.fix ? `\n  fix: ${printable(error.fix)}` : '';
  return `mcp-build: ${printable(error.message)} [${error.code}]${fix}\n`;
}

/** Names and messages come from registries and archives: without this one could move the cursor or retitle the terminal. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');
}

/** Columns padded to their widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, at) => {
      widths[at] = Math.max(widths[at] ?? 0, printable(cell).length);
    });
  return rows
    .map((row) =>
      row
        .map((cell, at) => (at === row.length - 1 ? printable(cell) : printable(cell).padEnd(widths[at] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Decimal units, as registries and `docker images` print them. */
export function bytes(count: number): string {
  if (count < 1000) return `${count} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let value = count;
  let unit = -1;
  do {
    value /= 1000;
    unit += 1;
  } while (value >= 1000 && unit < units.length - 1);
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}
