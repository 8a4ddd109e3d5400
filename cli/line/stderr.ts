import { StringDecoder } from 'node:string_decoder';

/** Lines that are kept of each end, and characters of a line. */
const FIRST = 3;
const LAST = 5;
const LONGEST = 400;

/** What programs call a failure by, in the words of Node, Python and most people. */
const ERROR =
  /\b(?:\w*(?:Error|Exception)|error|fatal|panic|fail(?:ed|ure)?|cannot|can['’]t|could not|unable|unknown|invalid|missing|required|not (?:found|set|installed)|no such|denied|refused|E[A-Z]{4,})\b/i;
/** A call's place in a stack trace says `error` when the file is called so. */
const FRAME = /^\s*(?:at |File "|\^|~|\d+ \|)/;

/** What a server that fails writes to stderr: the first lines that name an error, and the last lines, whatever they are. */
export interface Stderr {
  take(chunk: Uint8Array): void;
  /** One line, bounded; empty where nothing was written. */
  text(): string;
}

/** Bounded, however much is written. */
export function stderrLines(): Stderr {
  const decoder = new StringDecoder('utf8');
  const first: { readonly at: number; readonly line: string }[] = [];
  const last: string[] = [];
  let pending = '';
  let seen = 0;

  const line = (text: string) => {
    const shown = text.slice(0, LONGEST).trimEnd();
    if (shown === '') return;
    if (first.length < FIRST && !FRAME.test(shown) && ERROR.test(shown)) first.push({ at: seen, line: shown });
    seen += 1;
    last.push(shown);
    if (last.length > LAST) last.shift();
  };

  return {
    take(chunk) {
      const lines = (pending + decoder.write(Buffer.from(chunk))).split('\n');
      // What a line has beyond what is shown needn't be held.
      pending = (lines.pop() ?? '').slice(0, LONGEST);
      for (const each of lines) line(each);
    },
    text() {
      if (pending !== '') line(pending);
      pending = '';
      const from = seen - last.length;
      const early = first.filter(({ at }) => at < from);
      const gap = early.length > 0 && (early.at(-1)?.at ?? 0) + 1 < from ? ['…'] : [];
      return [...early.map((each) => each.line), ...gap, ...last].map((each) => each.trim()).join(' / ');
    },
  };
}
