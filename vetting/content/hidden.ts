/**
 * Characters that nobody sees, in text whose bytes of UTF-8 appear as they are, as Latin-1: `\xe2\x80\xae` is U+202E.
 */

const UNICODE = String.raw`(?<bidi>\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9])|(?<tags>(?<!\xf0\x9f\x8f\xb4|\xf3\xa0[\x80\x81][\x80-\xbf])(?:\xf3\xa0[\x80\x81][\x80-\xbf]){3,64})|(?<variation>(?:\xef\xb8[\x80-\x8f]|\xf3\xa0[\x84-\x87][\x80-\xbf]){8,64})|(?<zero>(?:\xe2\x80[\x8b-\x8d]|\xe2\x81\xa0|\xef\xbb\xbf){8,64})`;

/** Hangul fillers: letters without a shape, so that a name may consist of them. */
const FILLER = String.raw`(?:\xe1\x85[\x9f\xa0]|\xe3\x85\xa4|\xef\xbe\xa0)`;
/** Besides, what may go on a name and has no shape of its own: joiners, variation selectors, Khmer's and Mongolian's. */
const UNSEEN = String.raw`(?:${FILLER}|\xe2\x80[\x8c\x8d]|\xcd\x8f|\xe1\x9e[\xb4\xb5]|\xe1\xa0[\x8b-\x8f]|\xef\xb8[\x80-\x8f]|\xf3\xa0[\x84-\x87][\x80-\xbf])`;
const BEFORE = String.raw`(?:[,({;=&|!?:+]|\b(?:const|let|var|function|in|of|return|def|lambda))[ \t]{0,4}`;
// The first assertion is for speed alone: nothing else is tried where no such byte stands.
const NAME = String.raw`(?<name>(?=[\xcd\xe1-\xe3\xef\xf3])(?:(?<=[\w$])${UNSEEN}{1,8}(?=[\w$])|(?<=[A-Za-z_$])${UNSEEN}{1,8}(?=[ \t]{0,4}[=(])|(?<=${BEFORE})${FILLER}{1,8}(?=[\w$]|[ \t]{0,4}[,)}\];=:.(])))`;

/** For bytes that are not all below 128: within the other patterns it would cost three times as much. */
export const HIDDEN = new RegExp(UNICODE, 'g');
/** The same for code, which has names. */
export const HIDDEN_CODE = new RegExp(`${UNICODE}|${NAME}`, 'g');

/** In bytes: how far before a character it is looked for what it stands in, and how far after it. */
export const AROUND = { before: 256, after: 768 };
/** Of a class, after the character. */
const CLASS = 200;
/** What is longer was written by no hand, and is read by no eye. */
const LINE = 500;

/** Those that have text run from right to left; the others leave what is written from left to right as it is. */
const TURNS = /\xe2\x80[\xab\xae]|\xe2\x81[\xa7\xa8]/;
const BIDI = /\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]/;
/** All that may follow a class on its line: the end of the expression or string that it is in, and of the statement. */
const ENDING =
  /^[+*?]?(?:\/[dgimsuvy]{0,8}(?:, ?(?:''|""|``)|\.test\([\w$.]{1,40}\))?|["'`](?:, ?["'`][dgimsuvy]{1,8}["'`])?)?[\s),;}\]]{0,16}$/;

/**
 * Whether a character is only one of those that an expression looks for, `/[<U+202A>-<U+202E>]/`, as every editor and filter has one that shows or
 * removes such characters; minifiers write them as they are. What an attacker writes in brackets is the same, so it must hide nothing there: a class holds no words and no quotes,
 * and where the character turns text around, nothing to be turned may follow on its line. A line that goes on for longer than anybody reads is let
 * pass: who has one needs no such character to hide something in it.
 * @param text with `AROUND` of the character, or the file's beginning and end
 */
export function isInClass(text: string, at: number, kind: 'bidi' | 'name'): boolean {
  const start = opening(text, at);
  const end = start === undefined ? undefined : closing(text, start, at + CLASS);
  if (start === undefined || end === undefined || end <= at) return false;
  if (kind === 'name' || !TURNS.test(text.slice(start, end))) return true;
  const rest = text.slice(end + 1, end + 1 + LINE);
  const line = /[\r\n]/.exec(rest)?.index;
  if (line === undefined && rest.length === LINE) return !BIDI.test(rest) && !/\s{16}/.test(rest);
  return ENDING.test(rest.slice(0, line));
}

/** The nearest bracket before it that isn't escaped. */
function opening(text: string, at: number): number | undefined {
  for (let from = at - 1; from >= 0 && from > at - AROUND.before; from -= 1) {
    if (text[from] === '[' && text[from - 1] !== '\\') return from;
  }
  return undefined;
}

const ESCAPE = /\\{1,2}(?:u\{[0-9A-Fa-f]{1,6}\}|[up]\{\w{1,40}\}|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[\s\S])/y;
const RANGE = /[A-Za-z0-9]-[A-Za-z0-9]/y;
/** Neither words nor what code is built of. */
const MEMBER = /[^A-Za-z0-9\\[\]"'`(){};=]/y;
const LETTER = /[A-Za-z0-9](?![A-Za-z0-9])/y;

/** The bracket that ends a class; undefined for what is none. */
function closing(text: string, start: number, limit: number): number | undefined {
  for (let at = start + 1; at < limit; ) {
    if (text[at] === ']') return at;
    const member = [ESCAPE, RANGE, MEMBER, LETTER].find((each) => {
      each.lastIndex = at;
      return each.test(text);
    });
    if (!member) return undefined;
    at = member.lastIndex;
  }
  return undefined;
}

/** `U+202E`, of the first character of a match. */
export function codePoint(match: string): string {
  const point = Buffer.from(match, 'latin1').toString('utf8').codePointAt(0) ?? 0;
  return `U+${point.toString(16).toUpperCase().padStart(4, '0')}`;
}
