import { type Document, isMap, isNode, isScalar, isSeq, type LineCounter, type Pair, type YAMLMap } from 'yaml';

/** Where in the text a field stands: the deepest part of `path` that is there. */
export function offsetOf(document: Document, path: readonly PropertyKey[], field?: string): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const step of [...path, ...(field === undefined ? [] : [field])]) {
    if (isMap(node)) {
      const pair = pairOf(node, String(step));
      if (!pair) return offset;
      offset = startOf(pair.key) ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(step)];
      offset = startOf(node) ?? offset;
    } else return offset;
  }
  // A key says where a map is; of a plain value the value itself is what is wrong.
  return field === undefined && isScalar(node) ? (startOf(node) ?? offset) : offset;
}

export function pairOf(map: YAMLMap, key: string): Pair<unknown, unknown> | undefined {
  return map.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === key);
}

/** `12:5`, both from 1. */
export function placeOf(counter: LineCounter, offset: number): string {
  const { line, col } = counter.linePos(offset);
  return `${line}:${col}`;
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}
