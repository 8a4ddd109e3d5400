import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Text } from '../../../vetting/tools/texts.ts';
import { textsOf } from '../../../vetting/tools/texts.ts';

export interface Sample {
  /** What must not be in training and test at once: a server's texts, what follows one source. */
  readonly group: string;
  readonly name: string;
  readonly texts: readonly Text[];
  readonly attack: boolean;
  /** Never shown to the model that is shipped. */
  readonly exam: boolean;
}

interface Benign {
  readonly source: string;
  readonly name: string;
  readonly definition: unknown;
}

interface Written {
  readonly technique?: string;
  readonly source?: string;
  readonly kind?: string;
  readonly description: string;
  readonly inputSchema?: unknown;
}

function read<T>(name: string): readonly T[] {
  return JSON.parse(readFileSync(new URL(`../../fixtures/tools/${name}.json`, import.meta.url), 'utf8')) as T[];
}

/** Which fifth of the groups a name belongs to: by its hash, so that it never moves. */
function fifth(name: string): number {
  return createHash('sha256').update(name).digest().readUInt32BE(0) % 5;
}

/** Descriptions of real servers, as they offered them in November 2026; a fifth of the servers is for the exam. */
export function benign(): readonly Sample[] {
  return read<Benign>('benign').map(({ source, name, definition }) => {
    const group = source.replace(/@[^@]*$/, '');
    return { group, name: `${source} ${name}`, texts: textsOf(definition), attack: false, exam: fifth(group) === 4 };
  });
}

/** Honest descriptions that were written to look like attacks, so that a model learns what doesn't make one. Not counted as real ones. */
export function honest(): readonly Sample[] {
  return read<Written>('honest').map(({ kind, ...written }, at) => sampleOf(written, `${kind} ${at}`, false, false));
}

/** Attacks of others, which are measured and never learnt from: the file stands elsewhere, as their licences may not let us keep them. */
export function elsewhere(file: string): readonly Sample[] {
  return (JSON.parse(readFileSync(file, 'utf8')) as readonly Written[]).map((written, at) => ({
    ...sampleOf(written, `elsewhere ${at}`, true, false),
    group: written.source ?? '',
  }));
}

/**
 * Attacks as they were published, in words of our own. `attacks` follow techniques, `attacks-published` one poisoned description each that others
 * published, `attacks-others` papers and write-ups, by hands that knew nothing of the scanner. `attacks-held-out` is the exam.
 */
export function attacks(
  file: 'attacks' | 'attacks-published' | 'attacks-others' | 'attacks-held-out' = 'attacks',
): readonly Sample[] {
  return read<Written>(file).map((written, at) => {
    const group = file === 'attacks-published' ? (written.source ?? '') : `${file} ${at}`;
    return { ...sampleOf(written, `${written.technique} ${at}`, true, file === 'attacks-held-out'), group };
  });
}

function sampleOf({ description, inputSchema }: Written, name: string, attack: boolean, exam: boolean): Sample {
  const definition = { description: disguised(description), ...(inputSchema ? { inputSchema } : {}) };
  return { group: name, name, texts: textsOf(definition), attack, exam };
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
