import { type Digest, sha256 } from '../digest/index.ts';
import { McpBuildError } from '../errors/index.ts';
import { DEFAULT_DRIFT, type DriftPolicy, type ServerPredicate } from '../trust/index.ts';
import { itemise, LIST_KEYS, type ListKind, type Offer } from './offer.ts';

/** What a running server may offer, and what follows when it offers something else. */
export interface Pins {
  /** For each list the definitions that were signed, by name. A list that is absent was not signed, and is not compared. */
  readonly lists: Readonly<Partial<Record<ListKind, ReadonlyMap<string, ReadonlySet<Digest>>>>>;
  /** Digests of the instructions that were signed; none where it had none. */
  readonly instructions: ReadonlySet<Digest>;
  readonly onDrift: DriftPolicy;
}

/** One thing that a server offers and nobody signed, or that was signed and is no longer there. */
export interface Drift {
  readonly kind: ListKind | 'instructions';
  /** As the server calls it; empty for instructions. */
  readonly name: string;
  readonly change: 'new' | 'changed' | 'gone';
  /** Of the definition that was found; absent for what is gone. */
  readonly digest?: Digest;
}

type Signed = Pick<ServerPredicate, ListKind | 'instructions'>;

/**
 * What signed predicates of one image allow together: each was seen to be offered by these very bytes.
 * @returns undefined where none says what the server offers: it was never tested
 */
export function pinsOf(signed: readonly Signed[], onDrift: Partial<DriftPolicy> = {}): Pins | undefined {
  const tested = signed.filter(({ tools }) => tools !== undefined);
  if (tested.length === 0) return undefined;
  const lists: Partial<Record<ListKind, Map<string, Set<Digest>>>> = {};
  const instructions = new Set<Digest>();
  for (const one of tested) {
    if (one.instructions !== undefined) instructions.add(one.instructions);
    for (const kind of Object.keys(LIST_KEYS) as ListKind[]) {
      const items = one[kind]?.items;
      if (!items) continue;
      lists[kind] ??= new Map();
      for (const { name, digest } of items) {
        const known = lists[kind].get(name) ?? new Set();
        lists[kind].set(name, known.add(digest));
      }
    }
  }
  return { lists, instructions, onDrift: { ...DEFAULT_DRIFT, ...onDrift } };
}

/** What of a list, or of one page of it, was not signed. Pure. @param values definitions as the server sent them */
export function listDrift({ lists }: Pins, kind: ListKind, values: readonly unknown[]): readonly Drift[] {
  const signed = lists[kind];
  if (!signed) return [];
  return itemise(values, LIST_KEYS[kind]).flatMap(({ name, digest }): Drift[] => {
    const known = signed.get(name);
    if (known?.has(digest)) return [];
    return [{ kind, name, change: known ? 'changed' : 'new', digest }];
  });
}

/** Whether these instructions were signed. None at all needs no signature. Pure. */
export function instructionsDrift({ instructions }: Pins, found: string): readonly Drift[] {
  const digest = sha256(found);
  if (instructions.has(digest)) return [];
  return [{ kind: 'instructions', name: '', change: instructions.size === 0 ? 'new' : 'changed', digest }];
}

/** A whole offer against the signed one, with what is gone. Pure. */
export function offerDrift(pins: Pins, offer: Offer): readonly Drift[] {
  const drifts: Drift[] = [];
  for (const kind of Object.keys(LIST_KEYS) as ListKind[]) {
    drifts.push(
      ...listDrift(
        pins,
        kind,
        offer[kind].map(({ definition }) => definition),
      ),
    );
    const there = new Set(offer[kind].map(({ name }) => name));
    for (const name of pins.lists[kind]?.keys() ?? [])
      if (!there.has(name)) drifts.push({ kind, name, change: 'gone' });
  }
  if (offer.instructions !== null) drifts.push(...instructionsDrift(pins, offer.instructions));
  else if (pins.instructions.size > 0) drifts.push({ kind: 'instructions', name: '', change: 'gone' });
  return drifts;
}

/** Whether policy refuses it. Offering less than was signed harms nobody: servers hide tools for want of a token, or by an argument. */
export function isBlocked({ onDrift }: Pins, { kind, change }: Drift): boolean {
  if (change === 'gone') return false;
  return onDrift[kind === 'resourceTemplates' ? 'resources' : kind] === 'block';
}

const NOUN: Readonly<Record<Drift['kind'], string>> = {
  tools: 'tool',
  prompts: 'prompt',
  resources: 'resource',
  resourceTemplates: 'resource template',
  instructions: 'instructions',
};

/** How many are named; a server may make up thousands. */
const NAMED = 10;

/** A phrase for people. Names are the server's own words: quoted, and cut. */
export function describeDrift(drifts: readonly Drift[]): string {
  const named = drifts.slice(0, NAMED).map(({ kind, name, change }) => {
    const what = `${change} ${NOUN[kind]}`;
    return kind === 'instructions' ? what : `${what} ${JSON.stringify(name.slice(0, 100))}`;
  });
  return `${named.join(', ')}${drifts.length > NAMED ? ` and ${drifts.length - NAMED} more` : ''}`;
}

/** The refusal of a server that offers what nobody signed. */
export function toolsDrift(server: string, drifts: readonly Drift[]): McpBuildError {
  return new McpBuildError({
    code: 'tools-drift',
    message: `${server} offers something else than what was signed: ${describeDrift(drifts)}`,
    input: server,
    fix: 'It was stopped, and its client saw none of it. If the change is meant, have it tested and attested again; where a server’s offer depends on its surroundings, let a rule of your policy say drift: warn.',
    exit: 3,
  });
}
