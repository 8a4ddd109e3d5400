import { McpBuildError } from '../../errors/index.ts';

/** The fields of one paragraph by lower-case name; a folded or multi-line value keeps its line breaks, without the leading blank. */
export type Stanza = ReadonlyMap<string, string>;

/** In characters. The longest stanza of Debian's own indexes has some 30,000. */
const STANZA_LIMIT = 4 * 1024 * 1024;

const FIELD = /^(?![#-])([!-9;-~]+):[ \t]*(.*)$/;

/**
 * Reads deb822 text (deb822(5)): paragraphs of `Name: value` lines, `#` comments where `comments` says so.
 * @param name what the text is called in an error
 * @throws McpBuildError `control-invalid`
 */
export function parseControl(text: string, name: string, comments = false): Stanza[] {
  const stanzas: Stanza[] = [];
  for (const paragraph of text.replaceAll('\r\n', '\n').split(/\n[ \t]*\n/)) {
    const stanza = parseStanza(paragraph, name, comments);
    if (stanza.size > 0) stanzas.push(stanza);
  }
  return stanzas;
}

/** @param wanted keeps only these fields (lower case): most of an index is text that nobody reads. */
export function parseStanza(
  paragraph: string,
  name: string,
  comments = false,
  wanted?: ReadonlySet<string>,
): Map<string, string> {
  const fields = new Map<string, string>();
  let current: string | undefined;
  for (const line of paragraph.split('\n')) {
    if (line.trim() === '' || (comments && line.startsWith('#'))) continue;
    if (line.startsWith(' ') || line.startsWith('\t')) {
      if (current === undefined) throw invalid(name, `continues a field that never began: "${line.slice(0, 80)}"`);
      if (current !== '') fields.set(current, `${fields.get(current)}\n${line.slice(1)}`);
      continue;
    }
    const match = FIELD.exec(line);
    if (!match?.[1]) throw invalid(name, `has a line that is no field: "${line.slice(0, 80)}"`);
    const field = match[1].toLowerCase();
    if (wanted && !wanted.has(field)) {
      current = '';
      continue;
    }
    // Of two values, two readers could take different ones.
    if (fields.has(field)) throw invalid(name, `has the field ${match[1]} twice in one paragraph`);
    fields.set(field, match[2]!.trimEnd());
    current = field;
  }
  return fields;
}

/**
 * Reads an index that is too long to be held at once, one stanza at a time.
 * @throws McpBuildError `control-invalid`
 */
export async function* streamControl(
  chunks: AsyncIterable<Uint8Array>,
  name: string,
  wanted: ReadonlySet<string>,
): AsyncGenerator<Stanza> {
  const decoder = new TextDecoder('utf-8');
  let rest = '';
  for await (const chunk of chunks) {
    rest += decoder.decode(chunk, { stream: true });
    let start = 0;
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n', start)) {
      const stanza = parseStanza(rest.slice(start, end), name, false, wanted);
      if (stanza.size > 0) yield stanza;
      start = end + 2;
    }
    rest = rest.slice(start);
    if (rest.length > STANZA_LIMIT) throw invalid(name, `has a paragraph longer than ${STANZA_LIMIT} characters`);
  }
  const last = parseStanza(rest + decoder.decode(), name, false, wanted);
  if (last.size > 0) yield last;
}

function invalid(input: string, reason: string): McpBuildError {
  return new McpBuildError({
    code: 'control-invalid',
    message: `${input} ${reason}`,
    input,
    fix: 'Check that this is a Debian control file, and that the mirror it comes from is one.',
  });
}
