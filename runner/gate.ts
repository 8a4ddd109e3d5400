import { McpBuildError } from '../errors/index.ts';
import { LIST_KEYS, type ListKind } from './offer.ts';
import { type Drift, instructionsDrift, isBlocked, listDrift, type Pins, toolsDrift } from './pins.ts';

/** What stands between a server's stdout and its client. What is returned is what may be passed on, in order; it is the caller's until the next call. */
export interface Gate {
  take(bytes: Uint8Array): readonly Uint8Array[];
  /** After the last bytes. */
  end(): readonly Uint8Array[];
  /** From then on nothing passes. */
  readonly refused: McpBuildError | undefined;
}

export interface GateOptions {
  readonly pins: Pins;
  /** For the error. */
  readonly server: string;
  /** Told of what policy only warns of, and of what it blocks. */
  readonly onDrift: (drifts: readonly Drift[]) => void;
  /** Told once, when something has been held back for good and the server is to be stopped. */
  readonly onRefused: (error: McpBuildError) => void;
}

/** The longest line, in bytes, that is held until it is whole. Lists of tools are far shorter; a longer line that can't be one passes as it comes. */
export const HELD = 4 * 1024 * 1024;

/**
 * A message that any client could take for a list or for instructions holds one of these, whatever its JSON parser forgives: members in other
 * case, the two letters that fold to `k` and `s`, and escapes, which nobody needs for ASCII letters. In a string within a string the quotes are
 * escaped, so that what a tool returns as text doesn't match.
 */
const SUSPECT =
  /"(?:tool(?:s|\xc5\xbf)|prompt(?:s|\xc5\xbf)|re(?:s|\xc5\xbf)ource(?:s|\xc5\xbf|template(?:s|\xc5\xbf))|in(?:s|\xc5\xbf)truction(?:s|\xc5\xbf))"|\\u(?:00[4-7]|017f)/i;
/** More than the longest match: of two chunks of one line, the seam is looked at too. */
const SEAM = 64;

/** In the range that JSON-RPC leaves to implementations. */
const DRIFT_ERROR = -32090;

const LINE = 10;
/** Drifts that are told of in one run. */
const TOLD = 1_000;

/**
 * Looks at what a client is about to receive, and lets nothing through that wasn't signed. Every message counts, also those that nobody seems to
 * have asked for: a server that guesses the id of a request that is on its way would otherwise answer it first. Whatever could be read in two ways
 * is passed on as it was read here, written anew.
 */
export function offerGate({ pins, server, onDrift, onRefused }: GateOptions): Gate {
  const strict = Object.values(pins.onDrift).includes('block');
  const told = new Set<string>();
  let held = Buffer.alloc(0);
  let length = 0;
  /** The last characters of a line too long to be held. */
  let seam: string | undefined;
  let refused: McpBuildError | undefined;

  const refuse = (error: McpBuildError, id?: unknown): readonly Uint8Array[] => {
    refused = error;
    held = Buffer.alloc(0);
    length = 0;
    onRefused(error);
    return id === undefined ? [] : [answer(id, error)];
  };

  const hold = (bytes: Uint8Array): void => {
    if (length + bytes.length > held.length) {
      const larger = Buffer.alloc(Math.max(4096, 2 * (length + bytes.length)));
      held.copy(larger, 0, 0, length);
      held = larger;
    }
    held.set(bytes, length);
    length += bytes.length;
  };

  /** Gives its memory away: what begins next is held in another. */
  const release = (): Uint8Array => {
    const line = held.subarray(0, length);
    held = Buffer.alloc(0);
    length = 0;
    return line;
  };

  /** One whole line, however it ends. */
  const look = (line: Uint8Array): readonly Uint8Array[] => {
    if (!SUSPECT.test(latin1(line))) return [line];
    const text = utf8(line);
    let messages: readonly unknown[];
    try {
      const value: unknown = JSON.parse(text);
      messages = Array.isArray(value) ? value : [value];
    } catch {
      // Some parsers take NaN, comments or a comma at the end. Servers print banners, too: neither is for the client.
      return strict ? [] : [line];
    }
    let found: readonly (readonly Drift[])[];
    let whole: string;
    try {
      found = messages.map((message) => driftOf(pins, message));
      whole = strict ? asRead(text) : '';
    } catch {
      // Nested so deep that it can be read and not be compared: RangeError.
      const [message] = messages.length === 1 ? messages : [];
      const error = uncompared(server, 'a message that is nested too deep');
      return strict ? refuse(error, isObject(message) ? message.id : undefined) : [line];
    }
    for (const [at, drifts] of found.entries()) {
      if (drifts.length === 0) continue;
      const blocked = drifts.filter((drift) => isBlocked(pins, drift));
      const fresh = drifts.filter(({ kind, name, digest }) => !told.has(`${kind} ${digest} ${name}`));
      // Who changes its mind with every answer is not told of for ever.
      if (fresh.length > 0 && told.size < TOLD) onDrift(fresh);
      for (const { kind, name, digest } of fresh) if (told.size < TOLD) told.add(`${kind} ${digest} ${name}`);
      if (blocked.length > 0) return refuse(toolsDrift(server, blocked), (messages[at] as { id?: unknown }).id);
    }
    return strict ? [Buffer.from(`${whole}\n`)] : [line];
  };

  const lines = (bytes: Uint8Array): readonly Uint8Array[] => {
    // Nearly always: several lines at once, and none of them matters.
    if (!SUSPECT.test(latin1(bytes))) return [bytes];
    const out: Uint8Array[] = [];
    for (let from = 0; from < bytes.length && !refused; ) {
      const end = bytes.indexOf(LINE, from) + 1;
      out.push(...look(bytes.subarray(from, end)));
      from = end;
    }
    return out;
  };

  return {
    get refused() {
      return refused;
    },
    take(bytes) {
      if (refused) return [];
      const out: Uint8Array[] = [];
      let rest = bytes;
      if (seam !== undefined) {
        const end = rest.indexOf(LINE) + 1;
        const part = end > 0 ? rest.subarray(0, end) : rest;
        const text = seam + latin1(part);
        if (strict && SUSPECT.test(text)) return refuse(uncompared(server, `a message longer than ${HELD} bytes`));
        seam = end > 0 ? undefined : text.slice(-SEAM);
        out.push(part);
        rest = rest.subarray(part.length);
      }
      if (length > 0) {
        const end = rest.indexOf(LINE) + 1;
        if (end > 0) {
          hold(rest.subarray(0, end));
          out.push(...look(release()));
          rest = rest.subarray(end);
        }
      }
      const last = rest.lastIndexOf(LINE) + 1;
      if (last > 0 && !refused) out.push(...lines(rest.subarray(0, last)));
      if (refused) return out;
      if (last < rest.length) hold(rest.subarray(last));
      if (length > HELD) {
        const line = release();
        const text = latin1(line);
        if (strict && SUSPECT.test(text))
          return [...out, ...refuse(uncompared(server, `a message longer than ${HELD} bytes`))];
        seam = text.slice(-SEAM);
        out.push(line);
      }
      return out;
    },
    end() {
      return refused || length === 0 ? [] : look(release());
    },
  };
}

/** What of a message is an offer that nobody signed. */
function driftOf(pins: Pins, message: unknown): readonly Drift[] {
  if (!isObject(message) || !isObject(message.result)) return [];
  return Object.entries(message.result).flatMap(([key, value]): readonly Drift[] => {
    const kind = KINDS.get(fold(key));
    if (kind === undefined) return [];
    if (kind === 'instructions') return typeof value === 'string' ? instructionsDrift(pins, value) : [];
    if (!Array.isArray(value)) return [];
    // Clients that forgive another case would take it, and nobody has signed it under that name.
    if (key !== kind && pins.lists[kind]) return [{ kind, name: key, change: 'new' }];
    return listDrift(pins, kind, value);
  });
}

const KINDS: ReadonlyMap<string, ListKind | 'instructions'> = new Map(
  [...(Object.keys(LIST_KEYS) as ListKind[]), 'instructions' as const].map((kind) => [fold(kind), kind]),
);

/** As Go's `encoding/json` and others compare the names of members. */
function fold(key: string): string {
  return key.toUpperCase();
}

const MEMBERS = ['jsonrpc', 'id', 'method', 'params', 'result', 'error'];

declare global {
  interface JSON {
    rawJSON(text: string): unknown;
  }
}

/** A line as it was understood: one value for each member, nothing that isn't JSON-RPC's, numbers as they were written. */
function asRead(text: string): string {
  const exact = (_key: string, value: unknown, context?: { readonly source?: string }) =>
    typeof value === 'number' && context?.source !== undefined && String(value) !== context.source
      ? JSON.rawJSON(context.source)
      : value;
  const value: unknown = JSON.parse(text, exact);
  const known = (message: unknown) =>
    isObject(message)
      ? Object.fromEntries(MEMBERS.flatMap((name) => (Object.hasOwn(message, name) ? [[name, message[name]]] : [])))
      : message;
  return JSON.stringify(Array.isArray(value) ? value.map(known) : known(value));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function answer(id: unknown, { message, code }: McpBuildError): Uint8Array {
  const safe = typeof id === 'string' || typeof id === 'number' ? id : null;
  return Buffer.from(
    `${JSON.stringify({ jsonrpc: '2.0', id: safe, error: { code: DRIFT_ERROR, message, data: { code } } })}\n`,
  );
}

function uncompared(server: string, what: string): McpBuildError {
  return new McpBuildError({
    code: 'tools-drift',
    message: `${server} sent ${what} that could be taken for a list of what it offers, and was not compared`,
    input: server,
    fix: 'It was stopped. If such messages are its trade, let a rule of your policy say drift: warn.',
    exit: 3,
  });
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function latin1(bytes: Uint8Array): string {
  return view(bytes).toString('latin1');
}

function utf8(bytes: Uint8Array): string {
  return view(bytes).toString('utf8');
}
