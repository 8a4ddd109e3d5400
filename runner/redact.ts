/** Shorter ones would take ordinary words out of every line. */
const SHORTEST = 6;

export interface Redactor {
  /** A whole text at once. */
  text(text: string): string;
  /** Bytes as they pass. The beginning of what may become a secret is held until it is known. */
  bytes(chunk: Uint8Array): Uint8Array;
  /** What was held, at the end. */
  end(): Uint8Array;
}

/**
 * Takes the values of a run's variables out of what is printed, also where they are in Base64, in a URL or in JSON.
 * A server can always disguise what it was given; this is for the token in a stack trace, not for a thief.
 */
export function redactor(values: Readonly<Record<string, string>>): Redactor {
  const needles = needlesOf(values);
  const longest = Math.max(0, ...needles.map(([needle]) => needle.length));
  const replace = (text: string) => needles.reduce((rest, [needle, mark]) => rest.replaceAll(needle, mark), text);
  let held = '';
  return {
    text: (text) => Buffer.from(replace(Buffer.from(text).toString('latin1')), 'latin1').toString('utf8'),
    bytes(chunk) {
      if (longest === 0) return chunk;
      // One character a byte, so that a cut in the middle of a character does no harm.
      const text = replace(held + Buffer.from(chunk).toString('latin1'));
      const keep = heldLength(text, needles, longest);
      held = text.slice(text.length - keep);
      return Buffer.from(text.slice(0, text.length - keep), 'latin1');
    },
    end() {
      const rest = Buffer.from(held, 'latin1');
      held = '';
      return rest;
    },
  };
}

type Needle = readonly [needle: string, mark: string];

function needlesOf(values: Readonly<Record<string, string>>): readonly Needle[] {
  const needles = new Map<string, string>();
  for (const [name, value] of Object.entries(values)) {
    if (value.length < SHORTEST) continue;
    const forms = [
      value,
      JSON.stringify(value).slice(1, -1),
      encodeURIComponent(value),
      // Without the padding, and without the last characters where they depend on what follows.
      Buffer.from(value)
        .toString('base64')
        .replace(/=+$/, '')
        .slice(0, Math.floor((Buffer.byteLength(value) * 4) / 3)),
      ...value.split('\n').filter((line) => line.length >= 2 * SHORTEST),
    ];
    for (const form of forms)
      if (form.length >= SHORTEST) needles.set(Buffer.from(form).toString('latin1'), `[${name}]`);
  }
  // Longest first: one value may be the beginning of another.
  return [...needles].sort(([a], [b]) => b.length - a.length);
}

/** How much of the end of a text may be the beginning of a needle. */
function heldLength(text: string, needles: readonly Needle[], longest: number): number {
  for (let length = Math.min(longest - 1, text.length); length > 0; length -= 1) {
    const end = text.slice(text.length - length);
    if (needles.some(([needle]) => needle.length > length && needle.startsWith(end))) return length;
  }
  return 0;
}
