import { readFileSync } from 'node:fs';
import type { Text } from '../../../vetting/tools/texts.ts';
import { textsOf } from '../../../vetting/tools/texts.ts';

export interface Sample {
  /** What must not be in training and test at once: a server's texts, a technique's attacks. */
  readonly group: string;
  readonly name: string;
  readonly texts: readonly Text[];
  readonly attack: boolean;
}

interface Benign {
  readonly source: string;
  readonly name: string;
  readonly definition: unknown;
}

interface Attack {
  readonly technique: string;
  readonly description: string;
  readonly inputSchema?: unknown;
}

function read<T>(name: string): readonly T[] {
  return JSON.parse(readFileSync(new URL(`../../fixtures/tools/${name}.json`, import.meta.url), 'utf8')) as T[];
}

/** Descriptions of real servers, as they offered them in November 2026 (docs/vetting.md lists the servers). */
export function benign(): readonly Sample[] {
  return read<Benign>('benign').map(({ source, name, definition }) => ({
    group: source.replace(/@[^@]*$/, ''),
    name: `${source} ${name}`,
    texts: textsOf(definition),
    attack: false,
  }));
}

/**
 * Attacks by the techniques that were published, in words of our own. Those that are held out were written after the patterns and have
 * never been used to change one.
 */
export function attacks(file: 'attacks' | 'attacks-held-out' = 'attacks'): readonly Sample[] {
  return read<Attack>(file).map(({ technique, description, inputSchema }, at) => ({
    group: technique,
    name: `${technique} ${at}`,
    texts: textsOf({ description: disguised(description), ...(inputSchema ? { inputSchema } : {}) }),
    attack: true,
  }));
}

/** Encodings are written out here, so that the fixture can be read. */
function disguised(text: string): string {
  return text
    .replaceAll('@@PAD@@', '\n'.repeat(200))
    .replace(/@@([A-Z0-9]+):(.*?)@@/g, (_, how: string, inner: string) => {
      switch (how) {
        case 'B64':
          return Buffer.from(inner).toString('base64');
        case 'HEX':
          return Buffer.from(inner).toString('hex');
        case 'ROT':
          return inner.replace(/[a-z]/gi, (letter) => {
            const base = letter <= 'Z' ? 65 : 97;
            return String.fromCharCode(((letter.charCodeAt(0) - base + 13) % 26) + base);
          });
        case 'REV':
          return [...inner].reverse().join('');
        case 'TAGS':
          return [...inner].map((letter) => String.fromCodePoint(0xe0000 + letter.charCodeAt(0))).join('');
        case 'ZW':
          return [...inner]
            .map((letter) => letter.charCodeAt(0).toString(2).replace(/0/g, '\u200b').replace(/1/g, '\u200c'))
            .join('\u2060');
        case 'ZWSPLIT':
          return [...inner].join('\u200b');
        default:
          throw new Error(how);
      }
    });
}
