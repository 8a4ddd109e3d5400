import { type CatalogEntry, refused, type Understood, type Wanted } from './entry.ts';
import { type FlagTable, readFlags } from './flags.ts';
import { packageOf } from './images.ts';

const RUN: FlagTable = {
  plain: [
    '-i',
    '--interactive',
    '-t',
    '--tty',
    '--rm',
    '--init',
    '-q',
    '--quiet',
    '--read-only',
    '--no-healthcheck',
    '-P',
    '--publish-all',
    '--oom-kill-disable',
    '-d',
    '--detach',
  ],
  valued: [
    '-e',
    '--env',
    '-v',
    '--volume',
    '--mount',
    '--name',
    '--network',
    '--net',
    '-p',
    '--publish',
    '-u',
    '--user',
    '-w',
    '--workdir',
    '--pull',
    '--platform',
    '--entrypoint',
    '-m',
    '--memory',
    '--cpus',
    '--cap-drop',
    '--security-opt',
    '-l',
    '--label',
    '-h',
    '--hostname',
    '--pids-limit',
    '--tmpfs',
    '--add-host',
    '--log-driver',
    '--log-opt',
    '--shm-size',
    '--memory-swap',
    '--stop-timeout',
    '--restart',
    '--ulimit',
    '--dns',
  ],
};
/** What `docker run` would give a container that no server gets. */
const WIDER =
  /^--(?:privileged|cap-add|device|pid|ipc|uts|userns|gpus|volumes-from|group-add|cgroup-parent|env-file)\b/;
/** Images that hold nothing but a launcher. */
const LAUNCHER_IMAGE = /(?:^|\/)(?:node|bun|uv|python|debian|alpine|ubuntu)(?::|@|$)/;

type Inner = (command: string, args: readonly string[]) => Understood;

/** `docker run …`: the package an image is known to be made of, or the one a launcher in it starts. */
export function understandContainer(words: readonly string[], inner: Inner): Understood {
  const run = words[0] === 'container' ? words.slice(1) : words;
  if (run[0] !== 'run')
    return refused(
      'runs-local-program',
      `runs docker ${words.slice(0, 2).join(' ')}`,
      'Name the package it comes from with --source NAME=npm:… or NAME=pypi:….',
    );
  const read = readFlags(run.slice(1), RUN);
  if (read.unknown && WIDER.test(read.unknown))
    return refused(
      'permission-refused',
      `asks for ${read.unknown}, which no server gets`,
      'See whether it works without it.',
    );
  if (read.unknown)
    return refused(
      'launcher-unknown-flag',
      `has the flag ${read.unknown}, whose meaning for an image is not known`,
      'Leave it out, or name the package with --source.',
    );
  const given = flagsOf(read.values);
  if ('kind' in given) return given;
  const [image = '', ...command] = read.rest;
  const found = given.entrypoint ?? command[0];
  if (LAUNCHER_IMAGE.test(image) && found !== undefined) {
    const started = inner(found, given.entrypoint === undefined ? command.slice(1) : command);
    return started.kind === 'server' ? { kind: 'server', wanted: joined(given, started.wanted) } : started;
  }
  const source = packageOf(image);
  if (source === undefined || given.entrypoint !== undefined) return foreign(image);
  return {
    kind: 'server',
    wanted: joined(given, { source, args: command, env: {}, passed: [], volumes: [], hosts: [], notes: [] }),
  };
}

/** An entry of a catalogue. */
export function understandCatalog(entry: CatalogEntry): Understood {
  const source = packageOf(entry.image);
  if (source === undefined) return foreign(entry.image);
  const volumes = entry.volumes.flatMap((volume) => volumeOf(volume) ?? []);
  const lost = entry.volumes.length - volumes.length;
  return {
    kind: 'server',
    wanted: {
      source,
      args: outside(entry.args, volumes),
      env: entry.env,
      passed: entry.secrets,
      volumes: volumes.map(({ source: folder, mode }) => folder + mode),
      hosts: entry.hosts,
      notes: lost > 0 ? [`${lost} volumes that are no folders of this machine left out`] : [],
    },
  };
}

interface Mount {
  readonly source: string;
  /** Where the container has it. */
  readonly target: string;
  readonly mode: '' | ':rw';
}

interface Given {
  readonly env: Readonly<Record<string, string>>;
  readonly passed: readonly string[];
  readonly volumes: readonly Mount[];
  readonly notes: readonly string[];
  readonly entrypoint?: string;
}

function flagsOf(values: readonly (readonly [string, string])[]): Given | Understood {
  const env: Record<string, string> = {};
  const passed: string[] = [];
  const volumes: Mount[] = [];
  const notes: string[] = [];
  let entrypoint: string | undefined;
  for (const [flag, value] of values) {
    switch (flag) {
      case '-e':
      case '--env': {
        const equals = value.indexOf('=');
        if (equals < 0) passed.push(value);
        else env[value.slice(0, equals)] = value.slice(equals + 1);
        break;
      }
      case '-v':
      case '--volume':
      case '--mount': {
        const volume = flag === '--mount' ? mountOf(value) : volumeOf(value);
        if (volume === undefined) notes.push(`${flag} ${value} left out: no folder of this machine`);
        else if (/(?:^|\/)docker\.sock$/.test(volume.source))
          return refused(
            'permission-refused',
            'asks for the Docker socket, which no server gets',
            'See whether it works without it.',
          );
        else volumes.push(volume);
        break;
      }
      case '--entrypoint':
        entrypoint = value;
        break;
      case '--network':
      case '--net':
        if (value !== 'none') notes.push(`--network ${value} left out: name destinations with --allow-net`);
        break;
      case '-p':
      case '--publish':
        notes.push(`${flag} ${value} left out: servers speak over stdin and stdout`);
        break;
    }
  }
  return { env, passed, volumes, notes, ...(entrypoint === undefined ? {} : { entrypoint }) };
}

/** `SOURCE:TARGET[:ro]`. Docker's own default is rw. */
function volumeOf(text: string): Mount | undefined {
  const match = /^((?:[A-Za-z]:)?[^:]+)(?::((?:[A-Za-z]:)?[^:]+?))??(?::([a-z]+(?:,[a-z]+)*))?$/i.exec(text);
  const [, source = '', target = source, mode = ''] = match ?? [];
  if (!isFolder(source)) return undefined;
  return { source, target, mode: mode.split(',').includes('ro') ? '' : ':rw' };
}

function mountOf(text: string): Mount | undefined {
  const fields = new Map(
    text
      .split(',')
      .map((field) => [field.split('=')[0] ?? '', field.includes('=') ? field.slice(field.indexOf('=') + 1) : 'true']),
  );
  const source = fields.get('src') ?? fields.get('source') ?? '';
  if (fields.get('type') !== 'bind' || !isFolder(source)) return undefined;
  const target = fields.get('dst') ?? fields.get('destination') ?? fields.get('target') ?? source;
  const readOnly = ['readonly', 'ro'].some((name) => fields.has(name) && fields.get(name) !== 'false');
  return { source, target, mode: readOnly ? '' : ':rw' };
}

/** A path of this machine, or a client's variable for one; anything else is a volume of Docker's. */
function isFolder(source: string): boolean {
  return /^(?:[/~]|[A-Za-z]:[\\/]|\$\{)/.test(source);
}

/** Arguments that name a place in the container, as the places outside: a server sees a folder at the path it has outside. */
function outside(args: readonly string[], mounts: readonly Mount[]): readonly string[] {
  return args.flatMap((arg) => {
    if (!arg.startsWith('/')) return [arg];
    const whole = mounts.find(({ target }) => arg === target || arg.startsWith(`${target}/`));
    if (whole) return [whole.source + arg.slice(whole.target.length)];
    const below = mounts.filter(({ target }) => target.startsWith(`${arg.replace(/\/$/, '')}/`));
    return below.length > 0 ? below.map(({ source }) => source) : [arg];
  });
}

function joined(given: Given, wanted: Wanted): Wanted {
  const notes = [...given.notes, ...wanted.notes];
  return {
    ...wanted,
    args: outside(wanted.args, given.volumes),
    env: { ...given.env, ...wanted.env },
    passed: given.passed,
    volumes: given.volumes.map(({ source, mode }) => source + mode),
    notes,
  };
}

function foreign(image: string): Understood {
  return refused(
    'foreign-image',
    `runs the image ${image || '(none)'}, and what it is made of is not known`,
    'Name the package it is made of with --source NAME=npm:… or NAME=pypi:….',
  );
}
