/** What stands behind an entry, once it is one that can be verified. */
export type Target =
  | {
      readonly kind: 'package';
      /** `npm:…` or `pypi:…`. */
      readonly source: string;
      readonly args: readonly string[];
      /** The command of the package that is meant, where it isn't the one of its own name. */
      readonly bin: string | undefined;
    }
  | {
      readonly kind: 'image';
      readonly image: string;
      readonly args: readonly string[];
      readonly environment: readonly string[];
    };

/** Why an entry can't be run, and what to do. */
export interface NoTarget {
  readonly kind: 'none';
  readonly reason: string;
  readonly fix: string;
}

/** What an entry's command line means: `npx`, `uvx` and `docker run` name what they run; anything else is a program of this machine. */
export function readCommand(command: string, args: readonly string[]): Target | NoTarget {
  const program = (command.split('/').at(-1) ?? '').replace(/\.(?:exe|cmd)$/i, '');
  switch (program) {
    case 'npx':
      return npx(args);
    case 'npm':
    case 'pnpm':
    case 'yarn':
      return args[0] === 'exec' || args[0] === 'dlx' || args[0] === 'x' ? npx(args.slice(1)) : foreign(command);
    case 'pnpx':
    case 'bunx':
      return npx(args);
    case 'uvx':
      return uvx(args);
    case 'uv':
      return args[0] === 'tool' && args[1] === 'run' ? uvx(args.slice(2)) : foreign(command);
    case 'pipx':
      return args[0] === 'run' ? uvx(args.slice(1)) : foreign(command);
    case 'docker':
    case 'podman':
      return args[0] === 'run' ? dockerRun(args.slice(1)) : foreign(command);
    case 'mcp-build':
      return args[0] === 'run' ? ours(args.slice(1)) : foreign(command);
    default:
      return foreign(command);
  }
}

function npx(args: readonly string[]): Target | NoTarget {
  let named: string | undefined;
  let rest = [...args];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '-y' || word === '--yes' || word === '--quiet' || word === '-q' || word === '--prefer-offline')
      continue;
    if (word === '-p' || word === '--package') named = rest.shift();
    else if (word.startsWith('--package=')) named = word.slice('--package='.length);
    else if (word === '--') continue;
    else if (word.startsWith('-')) return unknown('npx', word);
    else {
      if (rest[0] === '--') rest = rest.slice(1);
      if (named === undefined) return packaged('npm', word, rest, undefined);
      return packaged('npm', named, rest, word);
    }
  }
  return named === undefined ? nothing('npx') : packaged('npm', named, rest, undefined);
}

function uvx(args: readonly string[]): Target | NoTarget {
  let from: string | undefined;
  const rest = [...args];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '--from' || word === '--spec') from = rest.shift();
    else if (word.startsWith('--from=')) from = word.slice('--from='.length);
    else if (word === '-q' || word === '--quiet' || word === '--isolated' || word === '--') continue;
    // Which Python runs it is the base's to say.
    else if (word === '-p' || word === '--python') rest.shift();
    else if (word.startsWith('--python=')) continue;
    else if (word.startsWith('-')) return unknown('uvx', word);
    else if (from !== undefined) return packaged('pypi', from, rest, word);
    else return packaged('pypi', word.replace(/@latest$/, '').replace(/@(?=\d)/, '=='), rest, undefined);
  }
  return nothing('uvx');
}

function dockerRun(args: readonly string[]): Target | NoTarget {
  const environment: string[] = [];
  const rest = [...args];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (/^(?:-i|--interactive|--rm|-it|-t|--init)$/.test(word)) continue;
    if (word === '-e' || word === '--env') environment.push(rest.shift() ?? '');
    else if (word.startsWith('--env=')) environment.push(word.slice('--env='.length));
    else if (/^--(?:name|pull)$/.test(word)) rest.shift();
    else if (/^--(?:name|pull)=/.test(word)) continue;
    else if (word.startsWith('-')) {
      return {
        kind: 'none',
        reason: `starts a container with ${word}, which isn't passed on`,
        fix: 'Take it out, and say in "permissions" what the server may have: network, volumes, environment.',
      };
    } else return { kind: 'image', image: word, args: rest, environment };
  }
  return nothing('docker run');
}

function ours(args: readonly string[]): Target | NoTarget {
  const [target = '', ...rest] = args;
  if (target === '' || target.startsWith('-')) return nothing('mcp-build run');
  const own = rest[0] === '--' ? rest.slice(1) : rest;
  if (/^(?:npm|pypi):/.test(target)) return { kind: 'package', source: target, args: own, bin: undefined };
  if (/^(?:file:|https?:|[./~])|\.(?:json|tgz|whl)$/i.test(target)) {
    return {
      kind: 'none',
      reason: `runs ${target}, which is a file or an address, not the name of a package`,
      fix: 'Name its package as npm:… or pypi:…; or build it, and name the signed image.',
    };
  }
  return { kind: 'image', image: target, args: own, environment: [] };
}

function packaged(
  ecosystem: 'npm' | 'pypi',
  spec: string,
  args: readonly string[],
  bin: string | undefined,
): Target | NoTarget {
  if (/^(?:[./~]|file:|https?:|git[+:@]|github:)|^[\w-]+\/[\w.-]+$/.test(spec)) {
    return {
      kind: 'none',
      reason: `runs ${spec}, which is no package of a registry`,
      fix: 'Publish it, or build it into an image of your own, sign that, and name the image with docker run.',
    };
  }
  return { kind: 'package', source: `${ecosystem}:${spec}`, args, bin };
}

function unknown(program: string, flag: string): NoTarget {
  return {
    kind: 'none',
    reason: `calls ${program} with ${flag}, which isn't known here`,
    fix: 'Leave the flag out: only the package and its own arguments count.',
  };
}

function nothing(program: string): NoTarget {
  return {
    kind: 'none',
    reason: `calls ${program} without saying what to run`,
    fix: `Name what ${program} is to run.`,
  };
}

function foreign(command: string): NoTarget {
  return {
    kind: 'none',
    reason: `runs ${command}, a program of this machine, which nobody can pin or verify`,
    fix: 'Name a published server with npx or uvx, a signed image with docker run, or a server elsewhere by its "url".',
  };
}
