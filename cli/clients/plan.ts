import { defaultName, parseSource } from '../../builders/index.ts';
import { understandCatalog } from './container.ts';
import type { Entry, RefusalCode, Understood, Wanted } from './entry.ts';
import type { Place } from './read.ts';
import { isTemplate, mayBeCommitted, mayHoldSecret } from './secrets.ts';
import { understand } from './understand.ts';

/** A server as a manifest would have it: nothing in it is a secret. */
export interface Server {
  /** One of `parseServerName`'s. */
  readonly name: string;
  readonly source: string;
  readonly bin?: string;
  readonly args: readonly string[];
  /** Values that may be committed. */
  readonly env: Readonly<Record<string, string>>;
  /** Variables whose value stays with the client. */
  readonly secrets: readonly string[];
  /** Absolute, with `:rw` where it may write. */
  readonly volumes: readonly string[];
  /** `host:port`, or `all`. */
  readonly network: readonly string[] | 'all' | 'none';
}

export type Planned = { readonly name: string } & (
  | {
      readonly kind: 'server';
      readonly server: Server;
      /** How it is started here, which may name what a manifest doesn't. */
      readonly start: Start;
      /** Where the client starts it; absent in a catalogue. */
      readonly entry?: Entry;
      readonly notes: readonly string[];
    }
  | { readonly kind: 'already' }
  | { readonly kind: 'refused'; readonly code: RefusalCode; readonly reason: string; readonly fix: string }
);

export interface Start {
  readonly source: string;
  readonly bin?: string;
  readonly args: readonly string[];
  readonly volumes: readonly string[];
  readonly network: readonly string[] | 'all' | 'none';
  /** Names of the variables it is given. */
  readonly variables: readonly string[];
  /** Values that stood in front of or inside the command: they go to the client's own `env`. */
  readonly moved: Readonly<Record<string, string>>;
}

export interface PlanOptions {
  /** Sources named for entries that can't be understood, by the entry's name. */
  readonly sources: Readonly<Record<string, string>>;
  /** Given to every entry in place of what can be told from its URLs. */
  readonly network?: readonly string[] | 'all' | 'none';
  /** Names that are taken, with the source they stand for. */
  readonly taken: ReadonlyMap<string, string>;
  /** The user's home, for `~`. */
  readonly home: string;
  /** Whether a path is there: an argument that names one is a folder the server is meant to see. */
  readonly exists: (path: string) => boolean;
}

/** What becomes of each server of a client's file, in its order. */
export function plan(places: readonly Place[], options: PlanOptions): readonly Planned[] {
  const taken = new Map(options.taken);
  return places.map((place) => {
    const name = place.kind === 'other' ? place.name : place.entry.name;
    const understood = understandPlace(place, options.sources[name]);
    if (understood.kind !== 'server') return { name, ...understood };
    const entry = place.kind === 'entry' ? place.entry : undefined;
    return planned(name, understood.wanted, entry, options, taken);
  });
}

function understandPlace(place: Place, source: string | undefined): Understood {
  const understood =
    place.kind === 'other'
      ? place.why
      : place.kind === 'catalog'
        ? understandCatalog(place.entry)
        : understand(place.entry.command, place.entry.args);
  if (source === undefined || understood.kind !== 'refused' || place.kind === 'other') return understood;
  // What it was started with belonged to another program: only the variables are known to be the server's.
  const notes = place.entry.args.length > 0 ? ['its arguments were left out: they were another program’s'] : [];
  return {
    kind: 'server',
    wanted: { source, args: [], env: {}, passed: [], volumes: [], hosts: [], notes },
  };
}

function planned(
  name: string,
  wanted: Wanted,
  entry: Entry | undefined,
  options: PlanOptions,
  taken: Map<string, string>,
): Planned {
  const notes = [...wanted.notes];
  const values = { ...wanted.env, ...(entry?.env ?? {}) };
  const volumes = volumesOf(wanted, options, notes);
  const network = options.network ?? networkOf(wanted, values, notes);
  const start: Start = {
    source: wanted.source,
    ...(wanted.bin === undefined ? {} : { bin: wanted.bin }),
    args: wanted.args,
    volumes,
    network,
    variables: [...new Set([...Object.keys(values), ...wanted.passed])],
    moved: Object.fromEntries(Object.entries(wanted.env).filter(([key]) => !Object.hasOwn(entry?.env ?? {}, key))),
  };
  const free = freeName(name, wanted.source, taken);
  if (free !== slug(name, wanted.source))
    notes.push(`is called ${free} in the manifest: ${slug(name, wanted.source)} is another server there`);
  const env = Object.fromEntries(Object.entries(values).filter(([key, value]) => mayBeCommitted(key, value)));
  const args = committedArgs(wanted.args, notes);
  const server: Server = {
    name: free,
    source: wanted.source,
    ...(wanted.bin === undefined ? {} : { bin: wanted.bin }),
    args,
    env,
    secrets: start.variables.filter((key) => !Object.hasOwn(env, key)),
    volumes: volumes.filter((volume) => !isTemplate(volume)),
    network,
  };
  return { kind: 'server', name, server, start, ...(entry ? { entry } : {}), notes };
}

/** Folders that `docker run` mounted, and those that an argument names. */
function volumesOf(wanted: Wanted, { home, exists }: PlanOptions, notes: string[]): readonly string[] {
  const found = new Map<string, string>();
  for (const volume of wanted.volumes) {
    const path = volume.replace(/:rw$/, '').replace(/^~(?=\/|$)/, home);
    if (!mountable(path)) notes.push(`the folder ${path} left out: only absolute paths without a colon can be given`);
    else found.set(path, volume.endsWith(':rw') ? ':rw' : '');
  }
  for (const arg of wanted.args) {
    const path = /^--?[A-Za-z][\w-]*=(\/.*)$/s.exec(arg)?.[1] ?? arg;
    // The variable for the folder that is open is the one that always is a folder.
    if (!/^\$\{workspaceFolder\}/.test(path) && !(path.startsWith('/') && exists(path))) continue;
    if (!mountable(path) || [...found.keys()].some((outer) => path === outer || path.startsWith(`${outer}/`))) continue;
    found.set(path, ':rw');
    notes.push(`may read and write ${path}, which its arguments name`);
  }
  return [...found].map(([path, mode]) => path + mode);
}

function mountable(path: string): boolean {
  return (path.startsWith('/') && path !== '/' && !path.includes(':')) || /^\$\{workspaceFolder\}[^:]*$/.test(path);
}

/** Destinations that can be told: the hosts of URLs among its arguments and variables. */
function networkOf(
  wanted: Wanted,
  values: Readonly<Record<string, string>>,
  notes: string[],
): readonly string[] | 'none' {
  const hosts = new Set(wanted.hosts.map((host) => (/:[0-9]+$/.test(host) ? host : `${host}:443`)));
  for (const word of [...wanted.args, ...Object.values(values)]) {
    const url = /^(?:-[\w-]+=)?(https?):\/\/(?:[^@/\s]*@)?([a-z0-9][a-z0-9.-]*)(?::([0-9]{1,5}))?(?=[/?#]|$)/i.exec(
      word,
    );
    if (!url) continue;
    const [, scheme, host = '', port] = url;
    if (/^(?:localhost|[0-9.]+)$/i.test(host))
      notes.push(`can't reach ${host}: a container's own host is not there for it`);
    else hosts.add(`${host.toLowerCase()}:${port ?? (scheme?.toLowerCase() === 'http' ? '80' : '443')}`);
  }
  if (hosts.size === 0) return 'none';
  return [...hosts].sort();
}

/** A manifest is committed: it has no word that only this client can fill in, and nothing that may be a secret. */
function committedArgs(args: readonly string[], notes: string[]): readonly string[] {
  if (args.length === 0) return [];
  const odd = args.some((arg) => isTemplate(arg) || mayHoldSecret(arg));
  if (!odd) return args;
  notes.push('its arguments are not in the manifest: they may hold a secret, or what only the client can fill in');
  return [];
}

function slug(name: string, source: string): string {
  const text = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 60)
    .replace(/-+$/, '');
  return text === '' ? defaultName(parseSource(source)) : text;
}

/** The same package twice is one server; another one under a name that is taken gets a number. */
function freeName(name: string, source: string, taken: Map<string, string>): string {
  const wish = slug(name, source);
  for (let number = 1; ; number += 1) {
    const candidate = number === 1 ? wish : `${wish}-${number}`;
    const holder = taken.get(candidate);
    if (holder !== undefined && holder !== source) continue;
    taken.set(candidate, source);
    return candidate;
  }
}
