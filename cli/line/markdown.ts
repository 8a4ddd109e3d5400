/** Controls, zero width, bidirectional marks, fillers, tag characters, variation selectors: what makes text read otherwise than it is. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/** A line with what somebody else wrote in it, for a terminal: it stays one line, moves no cursor and reads as it is. */
export function oneLine(text: string): string {
  return text.replace(/[\r\n\t\v\f\u0085\u2028\u2029]+/g, ' ').replace(HIDDEN, '\ufffd');
}

/**
 * Text that somebody else wrote, for a pull request or a job summary: between backticks it is no link, no image, no mention, no reference to an issue and no HTML.
 * @param limit in characters
 */
export function quoted(text: string, limit = 200): string {
  const plain = text.replace(/\s+/g, ' ').replace(HIDDEN, '\ufffd').trim();
  const characters = [...plain];
  const cut = characters.length > limit ? `${characters.slice(0, limit).join('')}…` : plain;
  if (cut === '') return '` `';
  // A fence one longer than any run of backticks within can't be closed from inside.
  const longest = Math.max(0, ...[...cut.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  const pad = cut.startsWith('`') || cut.endsWith('`') ? ' ' : '';
  return `${fence}${pad}${cut}${pad}${fence}`;
}

/** A table; cells are Markdown already. A `|` would end a cell, between backticks too. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replace(/\|/g, '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
