import { type Call, hasFailed, type Incident, type Outcome } from './observer.ts';

export type Pattern = 'new-tool' | 'rate' | 'size' | 'errors' | 'egress' | 'drift' | 'restarts' | 'entry';

export interface Unusual {
  readonly pattern: Pattern;
  readonly server: string;
  /** For a person, in one line. Names in it are a stranger's text. */
  readonly what: string;
}

/** What has to outlive the process: else every tool were new after a restart. */
export interface Known {
  readonly servers: Readonly<Record<string, { readonly since: number; readonly tools: readonly string[] }>>;
}

export interface PatternOptions {
  readonly known?: Known;
  readonly tell: (unusual: Unusual) => void;
  /** Called when something was learnt that should be kept. */
  readonly learnt?: () => void;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

export interface Patterns {
  call(call: Call, outcome: Outcome): void;
  incident(incident: Incident): void;
  known(): Known;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Nothing is new in a server's first day. */
const LEARNING = DAY;
/** The same of the same server is told once in so long. */
const QUIET = HOUR;
/** Names come from clients. */
const TOOLS = 1_000;
const REMEMBERED = 10_000;

/** Calls a minute that nobody needs to hear of, whatever was before. */
const RATE_FLOOR = 120;
/** Minutes with calls before their mean says something. */
const RATE_SEEN = 60;
/** In bytes: a smaller answer is no leak of much. */
const SIZE_FLOOR = 256 * 1024;
const SIZE_SEEN = 100;
const ERRORS_WINDOW = 50;
const ERRORS_WITHIN = 10 * MINUTE;
const RESTARTS = 4;
const RESTARTS_WITHIN = 10 * MINUTE;
const ENTRIES = 20;

interface Server {
  since: number;
  readonly tools: Set<string>;
  minute: number;
  calls: number;
  readonly rate: Running;
  readonly sizes: Map<string, Running>;
  readonly outcomes: { at: number; failed: boolean }[];
  readonly failures: Running;
  readonly downs: number[];
  readonly refused: number[];
  readonly destinations: Map<string, number>;
}

/**
 * Tells what doesn't fit what was before. Each rule compares a server with its own past and has a floor below which nothing is told: an alert that
 * comes every week is one that nobody reads.
 */
export function patterns(options: PatternOptions): Patterns {
  const { tell, learnt, now = Date.now } = options;
  const servers = new Map<string, Server>();
  const told = new Map<string, number>();

  for (const [name, { since, tools }] of Object.entries(options.known?.servers ?? {})) {
    servers.set(name, { ...fresh(since), tools: new Set(tools) });
  }

  function of(name: string): Server {
    let found = servers.get(name);
    if (!found) {
      found = fresh(now());
      servers.set(name, found);
      learnt?.();
    }
    return found;
  }

  function say(pattern: Pattern, server: string, subject: string, what: string): void {
    const key = `${pattern}\0${server}\0${subject}`;
    const last = told.get(key);
    if (last !== undefined && now() - last < QUIET) return;
    if (told.size >= REMEMBERED) told.clear();
    told.set(key, now());
    tell({ pattern, server, what });
  }

  function tool(name: string, server: Server, target: string): void {
    if (server.tools.has(target) || server.tools.size >= TOOLS) return;
    server.tools.add(target);
    learnt?.();
    if (now() - server.since < LEARNING) return;
    say('new-tool', name, target, `the tool ${shown(target)} was called for the first time`);
  }

  function rate(name: string, server: Server): void {
    const minute = Math.floor(now() / MINUTE);
    if (minute !== server.minute) {
      if (server.calls > 0) server.rate.add(server.calls);
      server.minute = minute;
      server.calls = 0;
    }
    server.calls += 1;
    const { rate: seen } = server;
    if (seen.count < RATE_SEEN || server.calls < RATE_FLOOR) return;
    const bound = Math.max(RATE_FLOOR, 5 * seen.mean(), seen.mean() + 8 * seen.deviation());
    if (server.calls < bound) return;
    say('rate', name, '', `${server.calls} calls in a minute, ${round(seen.mean())} being usual`);
  }

  function size(name: string, server: Server, key: string, bytes: number): void {
    let seen = server.sizes.get(key);
    if (!seen) {
      if (server.sizes.size >= TOOLS) return;
      seen = running(500);
      server.sizes.set(key, seen);
    }
    // By magnitude: answers of one tool differ tenfold as a matter of course.
    const magnitude = Math.log2(Math.max(1, bytes));
    const unusual =
      seen.count >= SIZE_SEEN &&
      bytes >= SIZE_FLOOR &&
      magnitude > seen.mean() + 2 + 4 * Math.max(0.5, seen.deviation());
    if (unusual) {
      const usual = round(2 ** seen.mean());
      say('size', name, key, `an answer of ${shown(key)} has ${bytes} bytes, ${usual} being usual`);
      return;
    }
    seen.add(magnitude);
  }

  function errors(name: string, server: Server, failed: boolean): void {
    const { outcomes, failures } = server;
    outcomes.push({ at: now(), failed });
    if (outcomes.length > ERRORS_WINDOW) {
      const old = outcomes.shift();
      failures.add(old?.failed ? 1 : 0);
    }
    if (outcomes.length < ERRORS_WINDOW || now() - (outcomes[0]?.at ?? 0) > ERRORS_WITHIN) return;
    const share = outcomes.filter((outcome) => outcome.failed).length / outcomes.length;
    if (share < 0.5 || failures.mean() > 0.2) return;
    say('errors', name, '', `${round(share * 100)} % of the last ${outcomes.length} calls failed`);
  }

  return {
    call({ server: name, method, target }, outcome) {
      const { kind, size: bytes } = outcome;
      const server = of(name);
      rate(name, server);
      if (kind === 'cancelled') return;
      errors(name, server, hasFailed(outcome));
      if (method !== 'tools/call' || target === undefined || kind !== 'answered') return;
      tool(name, server, target);
      size(name, server, target, bytes);
    },
    incident(incident) {
      const { server: name } = incident;
      const server = of(name);
      switch (incident.kind) {
        case 'down': {
          const recent = within(server.downs, now(), RESTARTS_WITHIN);
          if (recent >= RESTARTS) say('restarts', name, '', `went down ${recent} times in ten minutes`);
          return;
        }
        case 'entry-refused': {
          const recent = within(server.refused, now(), MINUTE);
          if (recent >= ENTRIES) say('entry', name, '', `${recent} callers in a minute were not let in`);
          return;
        }
        case 'egress-refused': {
          const destination = `${incident.host}:${incident.port}`;
          const last = server.destinations.get(destination);
          if (server.destinations.size >= TOOLS) server.destinations.clear();
          server.destinations.set(destination, now());
          if (last === undefined || now() - last > DAY) {
            say('egress', name, destination, `was refused a connection to ${shown(destination)}`);
          }
          return;
        }
        case 'drift':
          say('drift', name, incident.what, `offers something else than was signed: ${shown(incident.what)}`);
      }
    },
    known: () => ({
      servers: Object.fromEntries(
        [...servers].map(([name, { since, tools }]) => [name, { since, tools: [...tools].sort() }]),
      ),
    }),
  };
}

function fresh(since: number): Server {
  return {
    since,
    tools: new Set(),
    minute: 0,
    calls: 0,
    rate: running(360),
    sizes: new Map(),
    outcomes: [],
    failures: running(500),
    downs: [],
    refused: [],
    destinations: new Map(),
  };
}

/** Adds a moment to a list, and says how many of it are younger than `span`. */
function within(moments: number[], at: number, span: number): number {
  moments.push(at);
  while (moments.length > 0 && at - (moments[0] as number) > span) moments.shift();
  if (moments.length > REMEMBERED) moments.shift();
  return moments.length;
}

interface Running {
  count: number;
  add(value: number): void;
  mean(): number;
  deviation(): number;
}

/** Mean and deviation that forget: what is `memory` values back counts about a third. */
function running(memory: number): Running {
  let mean = 0;
  let variance = 0;
  const self: Running = {
    count: 0,
    add(value) {
      self.count += 1;
      const weight = Math.max(1 / self.count, 1 / memory);
      const difference = value - mean;
      mean += weight * difference;
      variance = (1 - weight) * (variance + weight * difference * difference);
    },
    mean: () => mean,
    deviation: () => Math.sqrt(variance),
  };
  return self;
}

function shown(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

function round(value: number): number {
  return value < 10 ? Math.round(value * 10) / 10 : Math.round(value);
}
