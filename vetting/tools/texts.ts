export interface Text {
  /** Where it stands in the definition: `inputSchema.properties.path.description`. */
  readonly at: string;
  readonly text: string;
  /** That more stands here than is read. */
  readonly more?: true;
}

/** Bounds for one definition: a hostile server may nest or repeat without end. */
const DEPTH = 40;
const TEXTS = 20_000;

/** Every string of a definition, its keys too: a model reads parameter names and allowed values as well as descriptions. */
export function textsOf(definition: unknown): readonly Text[] {
  const found: Text[] = [];
  const visit = (value: unknown, at: string, depth: number): void => {
    if (found.length > TEXTS) return;
    if (found.length === TEXTS || depth > DEPTH) {
      found.push({ at, text: '', more: true });
      return;
    }
    if (typeof value === 'string') found.push({ at, text: value });
    else if (Array.isArray(value)) for (const [index, one] of value.entries()) visit(one, `${at}[${index}]`, depth + 1);
    else if (value !== null && typeof value === 'object') {
      for (const [key, one] of Object.entries(value)) {
        // A name with spaces is a sentence.
        if (/\s|[^\x20-\x7e]/.test(key) || key.length > 80) found.push({ at: `${at}.(name)`, text: key });
        // So is one with many words in it.
        else if (/^[a-z0-9]+(?:[_-][a-z0-9]+){3,}$/i.test(key))
          found.push({ at: `${at}.(name)`, text: key.replace(/[_-]/g, ' ') });
        visit(one, at === '' ? key : `${at}.${key}`, depth + 1);
      }
    }
  };
  visit(definition, '', 0);
  return found;
}
