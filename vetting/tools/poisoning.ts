import { z } from 'zod';
import { CONCEPTS, type Concept } from './concepts.ts';
import { encoder } from './encoder/encoder.ts';
import { IDIOMS } from './idioms.ts';
import { HIDING, model } from './model.ts';
import { encoded, weigh } from './network.ts';
import { SIGNALS } from './signals.ts';
import type { Text } from './texts.ts';
import { LONGEST, type Span, type Word, wordsOf } from './words.ts';

/** Increased whenever the same text is examined differently by the same model: results that were kept are then made anew. */
const EXAMINER = 2;

const signalSchema = z.object({
  id: z.string(),
  title: z.string(),
  at: z.string(),
  /** The words that it was seen in. */
  excerpt: z.string(),
});

export const examinationSchema = z.object({
  poisoned: z.boolean(),
  /** The model and a list of techniques, which know nothing of each other, say the same; or it was not read to its end. */
  certain: z.boolean(),
  /** Log odds above the bar. */
  score: z.number(),
  signals: z.array(signalSchema).readonly(),
});

export type Signal = z.infer<typeof signalSchema>;
export type Examination = z.infer<typeof examinationSchema>;

/** What examinations depend on besides the text: those of another name may say something else. */
export function examinerName(): string {
  return `${EXAMINER}-${model().name}`;
}

/** Everything that is weighed. */
export const TECHNIQUES = [...SIGNALS, ...IDIOMS];

/** Characters of one text that are read. */
const MOST_CHARACTERS = 50_000;

const INVISIBLE =
  /[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\u{e0000}-\u{e007f}]|[\ufe00-\ufe0f]|[\u{e0100}-\u{e01ef}]/gu;
/** Tag characters but those of a flag, or selectors of variants one after the other, of which a letter takes one at most. */
const SMUGGLED = /(?<!\u{1f3f4})[\u{e0020}-\u{e007e}]{3,}|(?:[\ufe00-\ufe0f]|[\u{e0100}-\u{e01ef}]){3,}/u;
/** Letters with a space between each two, as an order that a search for words would miss. */
const SPACED_OUT = /(?<![\p{L}\p{N}])(?:\p{L} {1,3}){7,200}\p{L}(?![\p{L}\p{N}])/gu;
const BIDI = /[\u202a-\u202e\u2066-\u2069]/;
const ZERO_WIDTH = /[\u200b\u200c\u2060-\u2064\ufeff]{4,}/;
/** Separating letters that humans would not: zero-width characters within words. */
const SPLIT_WORDS = /(?:\p{L}[\u200b\u200c\u2060\ufeff]){3,}/u;
const ENCODED = /(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{24,4000}={0,2}(?![A-Za-z0-9+/])/g;
const HEX = /(?:\\x[0-9a-f]{2}){8,}|(?<![0-9a-f])(?:[0-9a-f]{2}){16,2000}(?![0-9a-f])/gi;

/** Seen in too many honest texts to confirm anything. */
const WEAK: ReadonlySet<string> = new Set(['urgency']);

const ENDLESS = 'is longer than anybody reads, and was not read to its end';

/** Words of one definition that are weighed; the longest of 3,864 real ones has some 11,500. */
const MOST_WORDS = LONGEST;

/** Words on either side of a place that the model looks at. */
const AROUND = 13;

/**
 * Whether texts that are shown to a model try to steer it. Weighs every place by the words around it (`network.ts`), with the techniques and
 * concepts that they are part of; text that nobody sees is enough alone. docs/vetting.md says how often it errs.
 */
export function examine(texts: readonly Text[]): Examination {
  const weights = model();
  const reading = readTexts(texts);
  const sequences = sequencesOf(reading);
  const words = sequences.flat();
  const { score: weight, worst } = weigh(words, encoded(sequences), weights);
  const score = weight + hidingOf(reading) - weights.bar;
  // What wasn't read to its end may be anything, and is no pass.
  const isUnread = reading.signals.some(({ id }) => id === 'endless');
  return {
    poisoned: score > 0 || isUnread,
    certain: isUnread || (score > 0 && reading.signals.some(({ id }) => !WEAK.has(id))),
    score,
    // Of a text that hides something, that is what is to be told.
    signals: score > 0 && weight > 0 ? [...reading.signals, placeOf(reading, words, worst)] : reading.signals,
  };
}

/** What is added for text that nobody sees. */
export function hidingOf({ signals }: Reading): number {
  return signals.reduce((sum, { id }) => sum + (HIDING[id] ?? 0), 0);
}

/** The words that weigh most, with what they speak of. */
function placeOf({ passages }: Reading, words: readonly Word[], worst: number): Signal {
  const around = words.slice(Math.max(0, worst - AROUND), worst + AROUND + 1);
  const concepts = [...new Set(around.flatMap(({ signs }) => signs))].filter((sign) => sign in CONCEPTS) as Concept[];
  let left = worst;
  const passage = passages.find(({ words: own }) => {
    if (left <= own.length) return true;
    left -= own.length + 1;
    return false;
  });
  const own = passage?.words ?? [];
  const from = own[Math.max(0, left - AROUND)]?.from ?? 0;
  const to = own[Math.min(own.length - 1, left + AROUND)]?.to ?? 0;
  return {
    id: 'place',
    title:
      concepts.length === 0
        ? 'reads like an order to the model'
        : `speaks of ${concepts
            .slice(0, 4)
            .map((concept) => CONCEPTS[concept])
            .join(', ')} in one breath`,
    at: passage?.at ?? '',
    excerpt: (passage?.text ?? '').slice(from, to).replace(/\s+/g, ' ').slice(0, 240),
  };
}

/** What is weighed. */
export interface Reading {
  /** The techniques that were seen, each once. */
  readonly signals: readonly Signal[];
  readonly passages: readonly Passage[];
}

/** One text, or what was hidden in it. */
export interface Passage {
  readonly at: string;
  readonly text: string;
  readonly words: readonly Word[];
}

/** Matches of one technique in one text that are marked. */
const MATCHES = 20;

const ALL_TECHNIQUES = TECHNIQUES.map(({ id, title, pattern }) => ({
  id,
  title,
  pattern: new RegExp(pattern.source, 'g'),
}));

/** Each passage's words with an end of line behind them: one after the other they are what is weighed. */
export function sequencesOf({ passages }: Reading): readonly (readonly Word[])[] {
  const found: (readonly Word[])[] = [];
  let left = MOST_WORDS;
  for (const { text, words } of passages) {
    const all = [...words, { text: '<line>', from: text.length, to: text.length, signs: [] }].slice(0, left);
    left -= all.length;
    if (all.length > 0) found.push(all);
  }
  return found;
}

export function readTexts(texts: readonly Text[]): Reading {
  const signals: Signal[] = [];
  const passages: Passage[] = [];
  const seen = new Set<string>();
  const add = (id: string, title: string, at: string, excerpt: string) => {
    if (seen.has(id)) return;
    seen.add(id);
    signals.push({ id, title, at, excerpt });
  };
  const read = (raw: string, at: string, isDecoded: boolean): Passage => {
    const text = plain(raw);
    const lower = text.toLowerCase();
    const spans: Span[] = [];
    for (const { id, title, pattern } of ALL_TECHNIQUES) {
      let left = MATCHES;
      for (const match of lower.matchAll(pattern)) {
        const to = match.index + match[0].length;
        add(id, title, at, text.slice(Math.max(0, match.index - 20), to + 20));
        spans.push({ from: match.index, to, sign: id });
        left -= 1;
        if (left === 0) break;
      }
    }
    const passage = { at, text, words: wordsOf(text, spans, /(?:^|\.)properties\./.test(at)) };
    passages.push(passage);
    if (isDecoded) return passage;
    for (const inner of decodings(raw)) {
      const before = seen.size;
      const { words } = read(inner, `${at} (decoded)`, true);
      // Words that mean something are no accident where nobody reads them.
      const signs = new Set(words.flatMap((word) => word.signs.filter((sign) => sign in CONCEPTS)));
      if (seen.size > before || signs.size > 2) add('encoded', 'hides it in an encoding', at, inner.slice(0, 160));
    }
    return passage;
  };
  for (const { at, text, more } of texts) {
    if (more) add('endless', ENDLESS, at, 'more texts, or nested deeper, than are read');
    const raw = text.slice(0, MOST_CHARACTERS);
    if (text.length > MOST_CHARACTERS) add('endless', ENDLESS, at, `${text.length} characters`);
    const smuggled = SMUGGLED.exec(raw);
    if (smuggled) add('invisible', 'hides it in invisible characters', at, fromTags(smuggled[0]));
    if (BIDI.test(raw)) add('bidi', 'shows it in another order', at, raw.slice(0, 160));
    if (ZERO_WIDTH.test(raw) || SPLIT_WORDS.test(raw))
      add('zero-width', 'hides it between zero-width characters', at, raw.slice(0, 160));
    const apart = raw.match(SPACED_OUT)?.[0];
    if (apart !== undefined) add('spaced-out', 'pulls its words apart', at, apart.slice(0, 160));
    if (/\n[ \t\n]{120,}\S|[ \t]{200,}\S/.test(raw))
      add('offscreen', 'pushes it out of sight', at, raw.trim().slice(-160));
    read(raw, at, false);
  }
  if (passages.reduce((sum, { words }) => sum + words.length + 1, 0) > MOST_WORDS)
    add('endless', ENDLESS, passages[0]?.at ?? '', `more than ${MOST_WORDS} words`);
  return { signals, passages };
}

/** As a model would read it: compatibility forms folded, look-alike letters and invisible characters gone, one space at a time. */
function plain(text: string): string {
  return foldLookAlikes(text.normalize('NFKC').replace(INVISIBLE, ''))
    .replace(/[\u2018\u2019]/g, "'")
    .replace(SPACED_OUT, (apart) => apart.replace(/ (?! )(?<! {2})/g, ''))
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
  return [...text].map((character) => String.fromCharCode(hiddenCode(character.codePointAt(0) ?? 0))).join('');
}

/** The byte that stands for: a tag, or a selector of a variant (the first 16 of which have a block of their own). */
function hiddenCode(point: number): number {
  if (point < 0xfe10) return point - 0xfe00;
  return point < 0xe0100 ? point - 0xe0000 : point - 0xe0100 + 16;
}

/** What is hidden in base64, hexadecimal, tag characters, ROT13 or reversed text, where it decodes to words. */
function decodings(text: string): readonly string[] {
  const found: string[] = [];
  const keep = (decoded: string) => {
    if (found.length < 20 && readable(decoded)) found.push(decoded);
  };
  // Any text can be turned around: it was if that makes words of it.
  const keepClearer = (decoded: string) => {
    if (knownShare(decoded) > knownShare(text)) keep(decoded);
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
  const tags = SMUGGLED.exec(text);
  if (tags) keep(fromTags(tags[0]));
  if (/\b(?:rot-?13|gur|vtaber)\b/i.test(text)) {
    keepClearer(
      text.replace(/[a-z]/gi, (letter) => {
        const base = letter <= 'Z' ? 65 : 97;
        return String.fromCharCode(((letter.charCodeAt(0) - base + 13) % 26) + base);
      }),
    );
  }
  if (/\b(?:revers|backward|snoitcurtsni|erongi)/i.test(text)) keepClearer([...text].reverse().join(''));
  return found;
}

/** How many of a text's words a reader of English would know. */
function knownShare(text: string): number {
  const words = text.toLowerCase().match(/[a-z]{3,}/g) ?? [];
  const { knows } = encoder();
  return words.filter(knows).length / Math.max(1, words.length);
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
