/** What a launcher's flags look like: each without a value, or with one. What is in neither list is not guessed at. */
export interface FlagTable {
  /** Flags without a value that change nothing of what an image does. */
  readonly plain: readonly string[];
  /** Flags with a value. */
  readonly valued: readonly string[];
}

export interface ReadFlags {
  /** Flags with a value, in order. */
  readonly values: readonly (readonly [flag: string, value: string])[];
  /** Flags without one. */
  readonly plain: readonly string[];
  /** What follows the flags: the first word that is none, and all after it. */
  readonly rest: readonly string[];
  /** The first flag that the table doesn't hold; reading stopped there. */
  readonly unknown?: string;
}

/** Reads flags up to the first other word, as launchers do: what follows belongs to the server. */
export function readFlags(words: readonly string[], table: FlagTable): ReadFlags {
  const values: [string, string][] = [];
  const plain: string[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    if (word === '--') return { values, plain, rest: words.slice(at + 1) };
    if (!word.startsWith('-') || word === '-') return { values, plain, rest: words.slice(at) };
    const equals = word.startsWith('--') ? word.indexOf('=') : -1;
    const flag = equals < 0 ? word : word.slice(0, equals);
    if (table.valued.includes(flag)) {
      if (equals >= 0) values.push([flag, word.slice(equals + 1)]);
      else {
        at += 1;
        values.push([flag, words[at] ?? '']);
      }
      continue;
    }
    if (table.plain.includes(flag) && (equals < 0 || /^(?:true|false)$/.test(word.slice(equals + 1)))) {
      plain.push(flag);
      continue;
    }
    const joined = joinedShort(word, table);
    if (!joined) return { values, plain, rest: words.slice(at), unknown: word };
    plain.push(...joined.plain);
    if (joined.valued) {
      if (joined.value === undefined) at += 1;
      values.push([joined.valued, joined.value ?? words[at] ?? '']);
    }
  }
  return { values, plain, rest: [] };
}

/** `-it`, `-eNAME=value`, `-p8080:80`. */
function joinedShort(
  word: string,
  table: FlagTable,
): { plain: readonly string[]; valued?: string; value?: string } | undefined {
  if (word.startsWith('--')) return undefined;
  const plain: string[] = [];
  for (let at = 1; at < word.length; at += 1) {
    const flag = `-${word[at]}`;
    if (table.valued.includes(flag)) {
      const value = word.slice(at + 1).replace(/^=/, '');
      return { plain, valued: flag, ...(value === '' ? {} : { value }) };
    }
    if (!table.plain.includes(flag)) return undefined;
    plain.push(flag);
  }
  return { plain };
}
