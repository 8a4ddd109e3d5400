/** What a failure most likely comes from, as one line that names the flag. Everything here reads what the server wrote: it is a guess, and says so by its form. */
export interface HintContext {
  readonly network: 'none' | 'all' | 'hosts';
  /** Names of the variables that the server was given. */
  readonly environment: readonly string[];
  /** Paths the server may write to. */
  readonly writable: readonly string[];
}

interface Rule {
  readonly id: string;
  /** Only once it has failed: what these match is common in logs, too. */
  readonly atEnd?: boolean;
  read(line: string, context: HintContext): string | undefined;
}

const PATH = String.raw`['"]?(/[^'"\s,:)\]]{1,300})`;
const READ_ONLY = [new RegExp(`EROFS[^'"/]{0,120}${PATH}`), new RegExp(`Read-only file system:? ?${PATH}`)];
const READ_ONLY_BARE = /EROFS|Read-only file system/;
const DENIED = [new RegExp(`EACCES[^'"/]{0,120}${PATH}`), new RegExp(`Permission denied:? ?${PATH}`, 'i')];
const MISSING = [new RegExp(`ENOENT[^'"/]{0,120}${PATH}`), new RegExp(`No such file or directory:? ?${PATH}`)];
const NETWORK =
  /ENETUNREACH|EAI_AGAIN|ENOTFOUND|Network is unreachable|Temporary failure in name resolution|getaddrinfo/;
const VARIABLE = /\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b/;
const WANTED =
  /\b(missing|required?|requires|must|not set|not found|not provided|not defined|undefined|unset|please set|please provide|expected|need(?:s|ed)?)\b|KeyError/i;
/** Named in messages about something else. */
const NOT_VARIABLES = /^(ERR_|E[A-Z]+_?$|HTTP_|SIG|NODE_MODULES)/;
/** A server's own places, where no volume would help. */
const INSIDE = /^\/(app|usr|etc|lib|proc|sys|dev|run|bin|sbin|opt\/)/;

const RULES: readonly Rule[] = [
  {
    id: 'network',
    read(line, { network }) {
      if (network === 'all' || !NETWORK.test(line)) return undefined;
      return network === 'none'
        ? 'the server has no network; give it all of it with --allow-net all, or only what it needs with --allow-net host:443'
        : 'the server may reach only the hosts it was given; name more of them with --allow-net';
    },
  },
  {
    id: 'read-only',
    read(line, { writable }) {
      if (!READ_ONLY_BARE.test(line)) return undefined;
      const path = first(READ_ONLY, line);
      if (path && writable.some((folder) => path.startsWith(folder))) return undefined;
      return path && !INSIDE.test(path)
        ? `the server can't write ${path}; share its folder with --volume ${folderOf(path)}:rw`
        : "the server can't write to its own image; if it can keep its data elsewhere, share a folder with --volume PATH:rw and name that";
    },
  },
  {
    id: 'denied',
    atEnd: true,
    read(line) {
      const path = first(DENIED, line);
      if (!path || INSIDE.test(path)) return undefined;
      return `the server isn't allowed to use ${path}: share it with --volume ${folderOf(path)}:rw, and check who owns it`;
    },
  },
  {
    id: 'missing-path',
    atEnd: true,
    read(line) {
      const path = first(MISSING, line);
      if (!path || INSIDE.test(path)) return undefined;
      return `the server sees no ${path}; share it with --volume ${path}`;
    },
  },
  {
    id: 'environment',
    atEnd: true,
    read(line, { environment }) {
      const name = WANTED.test(line) ? VARIABLE.exec(line)?.[1] : undefined;
      if (!name || NOT_VARIABLES.test(name) || environment.includes(name)) return undefined;
      return `the server seems to need the variable ${name}; pass it on with --env ${name}`;
    },
  },
];

const LINE_LIMIT = 4096;
const TAIL = 40;

/** Reads stderr as it passes. Each hint is given once. */
export function hints(context: HintContext, say: (line: string) => void) {
  const given = new Set<string>();
  const tail: string[] = [];
  const decoder = new TextDecoder();
  let held = '';

  const judge = (line: string, ended: boolean) => {
    for (const rule of RULES) {
      if (given.has(rule.id) || (rule.atEnd && !ended)) continue;
      const hint = rule.read(line, context);
      if (hint === undefined) continue;
      given.add(rule.id);
      say(hint);
    }
  };
  const take = (line: string) => {
    if (line === '') return;
    tail.push(line.slice(0, LINE_LIMIT));
    if (tail.length > TAIL) tail.shift();
    judge(line.slice(0, LINE_LIMIT), false);
  };

  return {
    see(bytes: Uint8Array): void {
      // Frames cut lines, and characters: both are put together again before anything is read.
      const lines = `${held}${decoder.decode(bytes, { stream: true })}`.split('\n');
      held = (lines.pop() ?? '').slice(-LINE_LIMIT);
      for (const line of lines.slice(-TAIL)) take(line);
    },
    /** @param exitCode of the server: what it wrote is looked at once more where it failed */
    end(exitCode: number): void {
      take(held);
      held = '';
      if (exitCode !== 0) for (const line of tail) judge(line, true);
    },
  };
}

function first(patterns: readonly RegExp[], line: string): string | undefined {
  for (const pattern of patterns) {
    const path = pattern.exec(line)?.[1];
    if (path) return path;
  }
  return undefined;
}

function folderOf(path: string): string {
  const folder = path.slice(0, path.lastIndexOf('/'));
  return folder === '' ? path : folder;
}
