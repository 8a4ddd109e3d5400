import { type Document, isMap, isScalar, isSeq, type Node, parseDocument } from 'yaml';
import { applyEdits, type Change, type Edit, type Syntax, SyntaxFault, type Value } from './syntax.ts';

/** YAML of a client or a catalogue; anchors are resolved where they are few, as the parser bounds them. */
export const yaml: Syntax = {
  name: 'YAML',
  parse: (text) => documentOf(text).toJS({ maxAliasCount: 100 }) as unknown,
  change(text, changes) {
    const document = documentOf(text);
    return applyEdits(
      text,
      changes.map((change) => edit(text, document, change)),
    );
  },
};

function documentOf(text: string): Document {
  const document = parseDocument(text, { uniqueKeys: true, strict: true });
  const error = document.errors[0];
  if (error) throw new SyntaxFault(text, error.pos[0], error.message.split('\n')[0] ?? 'no YAML');
  return document as Document;
}

function edit(text: string, document: Document, { path, value }: Change): Edit {
  const there = document.getIn(path, true) as Node | undefined;
  if (there?.range) {
    const [start, valueEnd] = there.range;
    if (!(isScalar(there) || isSeq(there) || isMap(there)) || there.anchor !== undefined)
      throw new SyntaxFault(text, start, 'an anchor or alias stands there');
    const raw = text.slice(start, valueEnd);
    const end = start + raw.trimEnd().length;
    return { start, end, text: write(text, start, isSeq(there) && there.flow !== true, value) };
  }
  const parent = document.getIn(path.slice(0, -1), true);
  const first = isMap(parent) && parent.flow !== true ? parent.items[0]?.key : undefined;
  if (!isScalar(first) || !first.range) throw new SyntaxFault(text, 0, `there is no place for "${path.at(-1)}"`);
  const start = first.range[0];
  return { start, end: start, text: `${path.at(-1)}: ${flow(value)}${newlineOf(text)}${indentAt(text, start)}` };
}

/** A list of lines stays one; JSON is YAML's flow style. */
function write(text: string, start: number, block: boolean, value: Value): string {
  if (!block || !Array.isArray(value) || value.length === 0) return flow(value);
  return value.map((word) => `- ${JSON.stringify(word)}`).join(newlineOf(text) + indentAt(text, start));
}

function flow(value: Value): string {
  return Array.isArray(value) ? `[${value.map((word) => JSON.stringify(word)).join(', ')}]` : JSON.stringify(value);
}

function newlineOf(text: string): string {
  return text.includes('\r\n') ? '\r\n' : '\n';
}

function indentAt(text: string, at: number): string {
  return ' '.repeat(at - (text.lastIndexOf('\n', at - 1) + 1));
}
