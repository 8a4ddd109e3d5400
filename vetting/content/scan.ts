import { isAscii } from 'node:buffer';
import type { Contents, Place } from './contents.ts';
import { AROUND, codePoint, HIDDEN, HIDDEN_CODE, isInClass } from './hidden.ts';
import { hostOf, isNative, isSample, type Language, LONGEST, languageOf, PATTERNS } from './patterns.ts';

/** In bytes; a window of a large file. */
const WINDOW = 1024 * 1024;
/** Places of one kind that are kept of an archive; a reviewer reads the first few. */
export const PLACES = 20;
const NAMES = 300;
/** Names like `_0x3fa2b1` in one file, from which on it was mangled by an obfuscator and not by chance. */
const MANGLED = 40;

/** What is collected while an archive's files pass by. */
export class Scan {
  readonly native: string[] = [];
  readonly minified: string[] = [];
  readonly obfuscated: Place[] = [];
  readonly unicode: Place[] = [];
  readonly credentials: Place[] = [];
  readonly downloads: Place[] = [];
  readonly secretFiles: Place[] = [];
  readonly processes: Place[] = [];
  readonly dynamic: Place[] = [];
  readonly #hosts = new Set<string>();
  readonly #environment = new Set<string>();

  /** @param content is used before this returns, never kept */
  async file(path: string, content: Uint8Array | AsyncIterable<Uint8Array>): Promise<void> {
    if (content instanceof Uint8Array) {
      this.#begin(path, content)?.(content, 0, true);
      return;
    }
    let look: Look | undefined;
    let held: Uint8Array = new Uint8Array(0);
    let first = true;
    let line = 0;
    for await (const chunk of content) {
      held = Buffer.concat([held, chunk]);
      if (held.length < WINDOW) continue;
      if (first) look = this.#begin(path, held);
      first = false;
      look?.(held, line, false);
      const rest = Uint8Array.from(held.subarray(held.length - LONGEST));
      line += newlines(held) - newlines(rest);
      held = rest;
    }
    if (first) look = this.#begin(path, held);
    look?.(held, line, true);
  }

  #begin(path: string, head: Uint8Array): Look | undefined {
    if (isNative(head)) {
      if (this.native.length < NAMES) this.native.push(path);
      return undefined;
    }
    const language = languageOf(path, head.subarray(0, 512));
    if (language === undefined) return undefined;
    if (language === 'javascript' && isMinified(head) && this.minified.length < NAMES) this.minified.push(path);
    let mangled = 0;
    let begun = false;
    return (window, line, last) => {
      mangled = this.#window(path, window, line, language, mangled);
      if (!isAscii(window)) this.#hidden(path, window, line, language, { first: !begun, last });
      begun = true;
    };
  }

  #window(path: string, window: Uint8Array, firstLine: number, language: Language, before: number): number {
    const text = latin1(window);
    return PATTERNS[language].reduce(
      (mangled, pattern) => this.#search(path, text, firstLine, pattern, mangled),
      before,
    );
  }

  /** Each character is judged in the window that has what stands around it. */
  #hidden(path: string, window: Uint8Array, firstLine: number, language: Language, { first, last }: Ends): void {
    const text = latin1(window);
    const pattern = language === 'javascript' || language === 'python' ? HIDDEN_CODE : HIDDEN;
    const from = first ? 0 : LONGEST - AROUND.after;
    const to = last ? text.length : text.length - AROUND.after;
    pattern.lastIndex = 0;
    for (let match = pattern.exec(text); match && match.index < to; match = pattern.exec(text)) {
      if (this.unicode.length >= PLACES) return;
      const [kind, found] = Object.entries(match.groups ?? {}).find(([, group]) => group !== undefined) ?? [];
      if (match.index < from || kind === undefined || found === undefined) continue;
      const what = `${codePoint(found)}, ${UNSEEN[kind as keyof typeof UNSEEN]}`;
      const before = this.unicode.at(-1);
      // One line a file is enough for what is everywhere in it.
      if (before?.path === path && before.what === what) continue;
      if ((kind === 'bidi' || kind === 'name') && isInClass(text, match.index, kind)) continue;
      add(this.unicode, { path, line: firstLine + lineAt(text, match.index), what });
    }
  }

  #search(path: string, text: string, firstLine: number, pattern: RegExp, before: number): number {
    let mangled = before;
    pattern.lastIndex = 0;
    for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
      const group = match.groups ?? {};
      if (group.mangled !== undefined) {
        mangled += 1;
        if (mangled === MANGLED) add(this.obfuscated, { path, what: 'names like _0x… throughout' });
        continue;
      }
      if (group.host !== undefined) {
        const host = hostOf(group.host);
        if (host !== undefined && this.#hosts.size < NAMES) this.#hosts.add(host);
        continue;
      }
      const variable = group.env ?? group.env2;
      if (variable !== undefined) {
        if (this.#environment.size < NAMES) this.#environment.add(variable);
        continue;
      }
      const found = this.#placed(group);
      if (!found || found.list.length >= PLACES) continue;
      // Tests bring many keys of their own making; they must not take the room of one that is elsewhere.
      if (found.list === this.credentials && isOfTests(path)) {
        if (this.credentials.filter((place) => isOfTests(place.path)).length >= PLACES / 2) continue;
      }
      const last = found.list.at(-1);
      // One line a file is enough for what is everywhere in it.
      if (last?.path === path && last.what === found.what) continue;
      add(found.list, { path, line: firstLine + lineAt(text, match.index), what: found.what });
    }
    return mangled;
  }

  #placed(group: Readonly<Record<string, string | undefined>>): { list: Place[]; what: string } | undefined {
    if (group.credential !== undefined) {
      // Never the secret itself: a report is passed around.
      return isSample(group.credential)
        ? undefined
        : { list: this.credentials, what: `${group.credential.slice(0, 7)}… (${group.credential.length} characters)` };
    }
    if (group.key !== undefined) return { list: this.credentials, what: 'a private key' };
    if (group.secretFile !== undefined) return { list: this.secretFiles, what: group.secretFile };
    if (group.download !== undefined) return { list: this.downloads, what: group.download.slice(0, 120) };
    if (group.fetched !== undefined) return { list: this.downloads, what: group.fetched };
    if (group.decoded !== undefined) return { list: this.obfuscated, what: `${group.decoded}: runs what it decodes` };
    if (group.jsfuck !== undefined) return { list: this.obfuscated, what: 'code written in six characters' };
    if (group.process !== undefined) return { list: this.processes, what: group.process };
    if (group.dynamic !== undefined) return { list: this.dynamic, what: group.dynamic.replace(/\s?\($/, '') };
    return undefined;
  }

  result(): Pick<
    Contents,
    | 'native'
    | 'minified'
    | 'obfuscated'
    | 'unicode'
    | 'credentials'
    | 'downloads'
    | 'secretFiles'
    | 'processes'
    | 'dynamic'
    | 'hosts'
    | 'environment'
  > {
    const { native, minified, obfuscated, unicode, credentials, downloads, secretFiles, processes, dynamic } = this;
    return {
      native,
      minified,
      obfuscated,
      unicode,
      credentials,
      downloads,
      secretFiles,
      processes,
      dynamic,
      hosts: [...this.#hosts].sort(),
      environment: [...this.#environment].sort(),
    };
  }
}

type Look = (window: Uint8Array, firstLine: number, last: boolean) => void;

/** Whether a window is the first of its file, and the last. */
interface Ends {
  readonly first: boolean;
  readonly last: boolean;
}

/** By the groups of `HIDDEN_CODE`. */
const UNSEEN = {
  bidi: 'which shows text in another order',
  tags: 'in a run of invisible tag characters',
  variation: 'in a run of variation selectors',
  zero: 'in a run of zero-width characters',
  name: 'in a name that is not what it seems to be',
} as const;

function latin1(window: Uint8Array): string {
  return Buffer.from(window.buffer, window.byteOffset, window.length).toString('latin1');
}

function add(list: Place[], place: Place): void {
  if (list.length < PLACES) list.push(place);
}

export function isOfTests(path: string): boolean {
  return /(?:^|\/)(?:tests?|__tests__|fixtures)\/|\.test\.[^./]+$/.test(path);
}

/** From its first 64 KiB: lines that nobody wrote by hand. */
function isMinified(head: Uint8Array): boolean {
  const part = head.subarray(0, 65_536);
  if (part.length <= 2048) return false;
  // Counted only as far as it takes to know.
  let lines = 1;
  for (let at = part.indexOf(10); at >= 0; at = part.indexOf(10, at + 1)) {
    lines += 1;
    if (part.length / lines <= 500) return false;
  }
  return true;
}

function newlines(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) count += 1;
  return count;
}

/** 1 for the first. */
function lineAt(text: string, index: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at >= 0 && at < index; at = text.indexOf('\n', at + 1)) line += 1;
  return line;
}
