interface Node {
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: Node | boolean;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
}

/** The field at `path` of a JSON Schema that `word` is most likely a slip of; undefined where none is near. */
export function nearestField(schema: object, word: string, path: readonly PropertyKey[]): string | undefined {
  let nodes: readonly Node[] = [schema as Node];
  for (const step of path) nodes = nodes.flatMap((node) => below(node, String(step)));
  return nearest(
    word,
    nodes.flatMap((node) => Object.keys(node.properties ?? {})),
  );
}

function below(node: Node, step: string): readonly Node[] {
  const named = node.properties?.[step];
  const rest = typeof node.additionalProperties === 'object' ? node.additionalProperties : undefined;
  const found = [named ?? rest, node.items].filter((one) => one !== undefined);
  return [...found, ...found.flatMap((one) => one.anyOf ?? [])];
}

/** The one of `known` that `word` is most likely a slip of; undefined where none is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const near = known
    .map((one) => ({ one, far: distance(word.toLowerCase(), one.toLowerCase()) }))
    .sort((a, b) => a.far - b.far)[0];
  return near && near.far <= Math.max(2, near.one.length / 2) ? near.one : undefined;
}

/** Levenshtein's. Long words are cut, for nothing long is a slip of a field. */
function distance(a: string, b: string): number {
  const [from, to] = [a.slice(0, 64), b.slice(0, 64)];
  let row = Array.from({ length: to.length + 1 }, (_, at) => at);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const change = row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}
