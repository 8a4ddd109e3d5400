import { CONCEPTS, type Concept, conceptsOf, sentencesOf } from './concepts.ts';
import { IDIOMS } from './idioms.ts';
import { MODEL } from './model.ts';
import { SIGNALS } from './signals.ts';
import type { Text } from './texts.ts';

export interface Signal {
  readonly id: string;
  readonly title: string;
  readonly at: string;
  /** The words that it was seen in. */
  readonly excerpt: string;
}

export interface Examination {
  readonly poisoned: boolean;
  /** Log odds; above zero is poisoned. */
  readonly score: number;
  readonly signals: readonly Signal[];
}

/** Everything that is weighed. */
export const TECHNIQUES = [...SIGNALS, ...IDIOMS];

/** From here on the finding is high, below it is for a person to look at; docs/vetting.md says how often each errs. */
export const CERTAIN = 4;

/** Characters of one text that are read; a description that needs more is itself a finding. */
const LONGEST = 50_000;

const INVISIBLE = /[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\u{e0000}-\u{e007f}]/gu;
const SMUGGLED = /(?<!\u{1f3f4})[\u{e0020}-\u{e007e}]{3,}/u;
const BIDI = /[\u202a-\u202e\u2066-\u2069]/;
const ZERO_WIDTH = /[\u200b\u200c\u2060-\u2064\ufeff]{4,}/;
/** Separating letters that humans would not: zero-width characters within words. */
const SPLIT_WORDS = /(?:\p{L}[\u200b\u200c\u2060\ufeff]){3,}/u;
const ENCODED = /(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{24,4000}={0,2}(?![A-Za-z0-9+/])/g;
const HEX = /(?:\\x[0-9a-f]{2}){8,}|(?<![0-9a-f])(?:[0-9a-f]{2}){16,2000}(?![0-9a-f])/gi;

/**
 * Whether texts that are shown to a model try to steer it. Weighs the techniques that were seen in them and what the most suspicious of their
 * sentences speaks of (`model.ts`); some, like text that nobody sees, are enough alone. docs/vetting.md says how often it errs.
 */
export function examine(texts: readonly Text[]): Examination {
  const { signals, sentences } = readTexts(texts);
  let score = MODEL.bias;
  for (const { id } of signals) score += MODEL.weights[id] ?? 0;
  const [worst] = sentences
    .map((sentence) => ({ sentence, meetings: meetingsOf(sentence.concepts) }))
    .map((one) => ({ ...one, weight: one.meetings.reduce((sum, [, weight]) => sum + weight, 0) }))
    .sort((a, b) => b.weight - a.weight);
  if (!worst) return { poisoned: score > 0, score, signals };
  score += worst.weight;
  if (worst.weight < SPEAKING) return { poisoned: score > 0, score, signals };
  const { at, text } = worst.sentence;
  const named = [...new Set(worst.meetings.slice(0, 3).flatMap(([concepts]) => concepts))];
  const title = `speaks of ${named.map((concept) => CONCEPTS[concept]).join(', ')} in one sentence`;
  return {
    poisoned: score > 0,
    score,
    signals: [...signals, { id: 'sentence', title, at, excerpt: text.slice(0, 160) }],
  };
}

/** Log odds that a sentence must have by what it speaks of to be shown as evidence. */
const SPEAKING = 0.5;

/** Concepts, and pairs of them, that weigh something, the heaviest first. */
function meetingsOf(
  concepts: ReadonlySet<Concept>,
): readonly (readonly [concepts: readonly Concept[], weight: number])[] {
  const found: [Concept[], number][] = [];
  for (const name of meetingNames(concepts)) {
    const weight = MODEL.meetings[name];
    if (weight) found.push([name.split('+') as Concept[], weight]);
  }
  return found.sort(([, a], [, b]) => b - a);
}

/** Each concept alone and each two of them: what the model weighs a sentence by. */
export function meetingNames(concepts: ReadonlySet<Concept>): readonly string[] {
  const list = [...concepts].sort();
  return list.flatMap((one, at) => [one, ...list.slice(at + 1).map((other) => `${one}+${other}`)]);
}

export interface Sentence {
  readonly at: string;
  readonly text: string;
  readonly concepts: ReadonlySet<Concept>;
}

/** Everything that is weighed: the techniques that were seen, each once, and every sentence with what it speaks of. */
export function readTexts(texts: readonly Text[]): {
  readonly signals: readonly Signal[];
  readonly sentences: readonly Sentence[];
} {
  const found: Signal[] = [];
  const sentences: Sentence[] = [];
  const seen = new Set<string>();
  const add = (id: string, title: string, at: string, excerpt: string) => {
    if (seen.has(id)) return;
    seen.add(id);
    found.push({ id, title, at, excerpt });
  };
  const read = (raw: string, at: string, decoded: boolean): void => {
    const text = plain(raw);
    for (const { id, title, pattern } of TECHNIQUES) {
      if (seen.has(id)) continue;
      const match = pattern.exec(text);
      if (match) add(id, title, at, text.slice(Math.max(0, match.index - 20), match.index + match[0].length + 20));
    }
    for (const sentence of sentencesOf(text)) {
      const concepts = conceptsOf(sentence, /(?:^|\.)properties\./.test(at));
      if (concepts.size > 0) sentences.push({ at, text: sentence, concepts });
    }
    if (decoded) return;
    for (const inner of decodings(raw)) {
      const before = [seen.size, sentences.length] as const;
      read(inner, `${at} (decoded)`, true);
      // Words that mean something are no accident where nobody reads them.
      if (seen.size > before[0] || sentences.slice(before[1]).some(({ concepts }) => concepts.size > 2))
        add('encoded', 'hides it in an encoding', at, inner.slice(0, 160));
    }
  };
  for (const { at, text } of texts) {
    const raw = text.slice(0, LONGEST);
    if (text.length > LONGEST) add('endless', 'is longer than anybody reads', at, `${text.length} characters`);
    const smuggled = SMUGGLED.exec(raw);
    if (smuggled) add('invisible', 'hides it in invisible characters', at, fromTags(smuggled[0]));
    if (BIDI.test(raw)) add('bidi', 'shows it in another order', at, raw.slice(0, 160));
    if (ZERO_WIDTH.test(raw) || SPLIT_WORDS.test(raw))
      add('zero-width', 'hides it between zero-width characters', at, raw.slice(0, 160));
    if (/\n[ \t\n]{120,}\S|[ \t]{200,}\S/.test(raw))
      add('offscreen', 'pushes it out of sight', at, raw.trim().slice(-160));
    read(raw, at, false);
  }
  return { signals: found, sentences };
}

/** As a model would read it: compatibility forms folded, look-alike letters and invisible characters gone, one space at a time. */
function plain(text: string): string {
  return foldLookAlikes(text.normalize('NFKC').replace(INVISIBLE, ''))
    .toLowerCase()
    .replace(/[\u2018\u2019]/g, "'")
    .replace(/[ \t\f\v\u00a0]+/g, ' ');
}

const LOOK_ALIKES: Readonly<Record<string, string>> = {
  а: 'a',
  е: 'e',
  о: 'o',
  р: 'p',
  с: 'c',
  х: 'x',
  у: 'y',
  і: 'i',
  ѕ: 's',
  ԁ: 'd',
  ո: 'n',
  ց: 'g',
  ӏ: 'l',
  к: 'k',
  м: 'm',
  т: 't',
  в: 'b',
  н: 'h',
  А: 'A',
  Е: 'E',
  О: 'O',
  Р: 'P',
  С: 'C',
  Т: 'T',
  Х: 'X',
  В: 'B',
  Н: 'H',
  К: 'K',
  М: 'M',
  І: 'I',
  Ѕ: 'S',
  ο: 'o',
  α: 'a',
  ε: 'e',
  ι: 'i',
  ν: 'v',
};

/** Only in words that also have Latin letters: a description in Russian is no disguise. */
function foldLookAlikes(text: string): string {
  if (!/[\u0370-\u058f]/.test(text)) return text;
  return text.replace(/[\p{L}]+/gu, (word) =>
    /[A-Za-z]/.test(word) ? [...word].map((letter) => LOOK_ALIKES[letter] ?? letter).join('') : word,
  );
}

function fromTags(text: string): string {
  return [...text].map((character) => String.fromCharCode((character.codePointAt(0) ?? 0) - 0xe0000)).join('');
}

/** What is hidden in base64, hexadecimal, tag characters, ROT13 or reversed text, where it decodes to words. */
function decodings(text: string): readonly string[] {
  const found: string[] = [];
  const keep = (decoded: string) => {
    if (found.length < 20 && readable(decoded)) found.push(decoded);
  };
  for (const [encoded] of text.matchAll(ENCODED)) keep(Buffer.from(encoded, 'base64').toString('utf8'));
  for (const [encoded] of text.matchAll(HEX)) keep(Buffer.from(encoded.replace(/\\x/gi, ''), 'hex').toString('utf8'));
  for (const [encoded] of text.matchAll(/(?:%[0-9a-f]{2}){6,500}/gi)) keep(safeDecode(encoded));
  for (const [encoded] of text.matchAll(/(?:&#x?[0-9a-f]{2,6};){5,500}/gi)) {
    keep(
      encoded.replace(/&#(x?)([0-9a-f]+);/gi, (_, hex: string, digits: string) =>
        String.fromCodePoint(Math.min(Number.parseInt(digits, hex ? 16 : 10) || 32, 0x10ffff)),
      ),
    );
  }
  for (const [encoded] of text.matchAll(/(?:\\u[0-9a-f]{4}){5,500}/gi)) {
    keep(
      encoded.replace(/\\u([0-9a-f]{4})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16))),
    );
  }
  const tags = /[\u{e0020}-\u{e007e}]{3,}/u.exec(text);
  if (tags) keep(fromTags(tags[0]));
  if (/\b(?:rot-?13|gur|vtaber)\b/i.test(text)) {
    keep(
      text.replace(/[a-z]/gi, (letter) => {
        const base = letter <= 'Z' ? 65 : 97;
        return String.fromCharCode(((letter.charCodeAt(0) - base + 13) % 26) + base);
      }),
    );
  }
  if (/\b(?:revers|backward|snoitcurtsni|erongi)/i.test(text)) keep([...text].reverse().join(''));
  return found;
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}

function readable(text: string): boolean {
  const letters = text.match(/[A-Za-z ,.'/:_-]/g)?.length ?? 0;
  return text.length >= 6 && letters / text.length > 0.85 && /[A-Za-z]{3}/.test(text);
}
