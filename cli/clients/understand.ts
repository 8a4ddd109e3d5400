import { understandContainer } from './container.ts';
import { programName, refused, type Understood, type Wanted } from './entry.ts';
import { type FlagTable, readFlags } from './flags.ts';
import { npmServer, pypiServer } from './launched.ts';

const NPX: FlagTable = {
  plain: [
    '-y',
    '--yes',
    '-q',
    '--quiet',
    '--silent',
    '-s',
    '--prefer-online',
    '--prefer-offline',
    '--offline',
    '--no',
    '--ignore-existing',
    '--ignore-scripts',
    '--no-install',
    '--include-workspace-root',
  ],
  valued: [
    '-p',
    '--package',
    '-c',
    '--call',
    '--registry',
    '--loglevel',
    '--cache',
    '--userconfig',
    '--node-arg',
    '-n',
    '--node-options',
    '--shell',
    '-w',
    '--workspace',
  ],
};
const BUNX: FlagTable = {
  plain: ['--bun', '-y', '--yes', '--silent', '--verbose', '--no-install'],
  valued: ['-p', '--package'],
};
const DLX: FlagTable = {
  plain: ['-s', '--silent', '-q', '--quiet', '-y', '--yes'],
  valued: ['-p', '--package', '--allow-build', '-c', '--shell-mode', '--registry', '--reporter'],
};
const UVX: FlagTable = {
  plain: [
    '-q',
    '--quiet',
    '-v',
    '--verbose',
    '--isolated',
    '-n',
    '--no-cache',
    '--refresh',
    '--offline',
    '--native-tls',
    '--system-certs',
    '--no-config',
    '-U',
    '--upgrade',
    '--no-progress',
    '--no-python-downloads',
    '--managed-python',
    '--no-managed-python',
    '--no-build',
    '--compile-bytecode',
    '--no-env-file',
    '--lfs',
  ],
  valued: [
    '--from',
    '-p',
    '--python',
    '-w',
    '--with',
    '--with-editable',
    '--with-requirements',
    '--index',
    '--index-url',
    '-i',
    '--extra-index-url',
    '--default-index',
    '-f',
    '--find-links',
    '--prerelease',
    '--resolution',
    '--exclude-newer',
    '--constraint',
    '-c',
    '--constraints',
    '--overrides',
    '--override',
    '--cache-dir',
    '--directory',
    '--project',
    '--config-file',
    '--env-file',
    '--python-platform',
    '--color',
    '--index-strategy',
    '--keyring-provider',
    '--link-mode',
    '--refresh-package',
    '--upgrade-package',
    '-P',
  ],
};
const PIPX: FlagTable = {
  plain: [
    '-q',
    '--quiet',
    '-v',
    '--verbose',
    '--no-cache',
    '--no-path-check',
    '--pypackages',
    '--system-site-packages',
  ],
  valued: ['--spec', '--python', '--with', '-i', '--index-url', '--pip-args', '--backend'],
};

const SHELLS = new Set([
  'sh',
  'bash',
  'zsh',
  'dash',
  'fish',
  'ksh',
  'csh',
  'tcsh',
  'powershell',
  'pwsh',
  'nu',
  'wsl',
  'osascript',
]);
const OTHER_INDEX = new Set([
  '--registry',
  '--index',
  '--index-url',
  '-i',
  '--extra-index-url',
  '--default-index',
  '-f',
  '--find-links',
  '--userconfig',
  '--config-file',
]);
/** In `uvx`: what would be installed beside the server, or in its place. */
const BESIDE = new Set([
  '-w',
  '--with',
  '--with-editable',
  '--with-requirements',
  '--constraint',
  '--constraints',
  '--overrides',
  '--override',
  '--pip-args',
  '--directory',
  '--project',
]);

/** What a command line starts: a package's server, or why that can't be told. Pure: nothing is looked up. */
export function understand(command: string, args: readonly string[], depth = 0): Understood {
  const words = args.length === 0 ? splitPlain(command) : [command, ...args];
  const [program = '', ...rest] = words;
  if (depth > 4)
    return refused('entry-invalid', 'starts a program that starts a program, too often', 'Name the server’s package.');
  if (program === '') return refused('entry-invalid', 'names no program', 'Give it a command.');
  const name = programName(program);
  switch (name) {
    case 'npx':
    case 'npx-cli.js':
      return fromNpx(rest);
    case 'npm':
    case 'npm-cli.js':
      return ['exec', 'x'].includes(rest[0] ?? '') ? fromNpx(rest.slice(1)) : localProgram(program);
    case 'pnpx':
      return fromNode(rest, DLX);
    case 'pnpm':
    case 'yarn':
      return rest[0] === 'dlx' ? fromNode(rest.slice(1), DLX) : localProgram(words.join(' '));
    case 'bunx':
      return fromNode(rest, BUNX);
    case 'bun':
      return rest[0] === 'x' ? fromNode(rest.slice(1), BUNX) : localProgram(words.join(' '));
    case 'uvx':
      return fromUvx(rest);
    case 'uv':
      return fromUv(rest);
    case 'pipx':
      return rest[0] === 'run' ? fromPipx(rest.slice(1)) : localProgram(words.join(' '));
    case 'docker':
    case 'podman':
    case 'nerdctl':
      return understandContainer(rest, (inner, innerArgs) => understand(inner, innerArgs, depth + 1));
    case 'env':
      return fromEnv(rest, depth);
    case 'cmd':
      return fromCmd(rest, depth);
    case 'mcp-build':
      return rest[0] === 'run' ? { kind: 'already' } : localProgram(words.join(' '));
    case 'node':
    case 'bun-node':
      return fromNodeProgram(words, depth);
  }
  if (SHELLS.has(name)) return shell(words.join(' '));
  return localProgram(program);
}

function fromNpx(words: readonly string[]): Understood {
  return fromNode(words, NPX);
}

function fromNode(words: readonly string[], table: FlagTable): Understood {
  const read = readFlags(words, table);
  if (read.unknown) return unknownFlag(read.unknown);
  const packages: string[] = [];
  for (const [flag, value] of read.values) {
    if (flag === '-p' || flag === '--package') packages.push(value);
    else if (['-c', '--call', '--shell-mode', '--shell'].includes(flag)) return shell(value);
    else if (OTHER_INDEX.has(flag)) return otherIndex(flag);
    else if (['--node-arg', '-n', '--node-options', '-w', '--workspace'].includes(flag)) return unknownFlag(flag);
  }
  // pnpm's -c takes no value; as a shell it is refused all the same.
  if (packages.length > 1) return beside(packages.slice(1).join(' '));
  // npm goes on reading its own flags behind the package's name only for --package.
  if (packages.length === 0)
    return npmServer(
      read.rest[0],
      read.rest.slice(1).filter((word, at) => !(at === 0 && word === '--')),
    );
  return npmServer(packages[0], read.rest.slice(1), read.rest[0]);
}

function fromUvx(words: readonly string[]): Understood {
  const read = readFlags(words, UVX);
  if (read.unknown) return unknownFlag(read.unknown);
  let from: string | undefined;
  const notes: string[] = [];
  for (const [flag, value] of read.values) {
    if (flag === '--from') from = value;
    else if (OTHER_INDEX.has(flag)) return otherIndex(flag);
    else if (BESIDE.has(flag)) return beside(`${flag} ${value}`);
    else if (flag === '-p' || flag === '--python')
      notes.push(`--python ${value} left out: images have the Python of their base`);
    else if (flag === '--env-file') return unknownFlag(flag);
    else if (['--prerelease', '--resolution', '--exclude-newer'].includes(flag))
      notes.push(`${flag} ${value} left out: name a version instead`);
  }
  const [first, ...args] = read.rest;
  return from === undefined ? pypiServer(first, args, undefined, notes) : pypiServer(from, args, first, notes);
}

function fromUv(words: readonly string[]): Understood {
  if (words[0] === 'tool' && words[1] === 'run') return fromUvx(words.slice(2));
  if (words[0] === 'x') return fromUvx(words.slice(1));
  return localProgram(`uv ${words.join(' ')}`);
}

function fromPipx(words: readonly string[]): Understood {
  const read = readFlags(words, PIPX);
  if (read.unknown) return unknownFlag(read.unknown);
  let spec: string | undefined;
  const notes: string[] = [];
  for (const [flag, value] of read.values) {
    if (flag === '--spec') spec = value;
    else if (flag === '--python') notes.push(`--python ${value} left out: images have the Python of their base`);
    else if (OTHER_INDEX.has(flag)) return otherIndex(flag);
    else if (flag === '--with' || flag === '--pip-args') return beside(`${flag} ${value}`);
  }
  const [first, ...args] = read.rest;
  return spec === undefined ? pypiServer(first, args, undefined, notes) : pypiServer(spec, args, first, notes);
}

/** `env NAME=value npx …`, as shebang lines and some clients have it. */
function fromEnv(words: readonly string[], depth: number): Understood {
  const env: Record<string, string> = {};
  let at = words[0] === '-S' ? 1 : 0;
  for (; at < words.length; at += 1) {
    const assignment = /^([A-Za-z_][A-Za-z0-9_]*)=([\s\S]*)$/.exec(words[at] ?? '');
    if (!assignment) break;
    env[assignment[1] ?? ''] = assignment[2] ?? '';
  }
  if ((words[at] ?? '').startsWith('-')) return unknownFlag(words[at] ?? '');
  const inner = understand(words[at] ?? '', words.slice(at + 1), depth + 1);
  if (inner.kind !== 'server') return inner;
  const wanted: Wanted = { ...inner.wanted, env: { ...env, ...inner.wanted.env } };
  return { kind: 'server', wanted };
}

/** `cmd /c npx …` is how Windows starts a script; more than one plain command is a shell at work. */
function fromCmd(words: readonly string[], depth: number): Understood {
  const at = words.findIndex((word) => !/^\/[a-z]$/i.test(word));
  const flags = words.slice(0, at < 0 ? words.length : at).map((word) => word.toLowerCase());
  const command = at < 0 ? [] : words.slice(at);
  const [first = '', ...rest] = command.length === 1 ? splitPlain(command[0] ?? '') : command;
  if (!flags.includes('/c') || first === '' || [first, ...rest].some((word) => /[&|<>^%]/.test(word)))
    return shell(`cmd ${words.join(' ')}`);
  return understand(first, rest, depth + 1);
}

/** `node …/npx-cli.js …` and our own program; anything else is a file of this machine. */
function fromNodeProgram(words: readonly string[], depth: number): Understood {
  const [, script = '', ...rest] = words;
  if (/[\\/](?:npx-cli|npm-cli)\.js$/.test(script))
    return understand(script, rest.length > 0 ? rest : ['--'], depth + 1);
  if (/[\\/]cli[\\/]main\.(?:js|ts)$/.test(script) && rest[0] === 'run') return { kind: 'already' };
  return localProgram(words.join(' '));
}

/** A whole command line in one string, which some clients allow; with anything a shell would read it stays one word. */
function splitPlain(command: string): readonly string[] {
  const words = command.trim().split(/\s+/);
  const program = programName(words[0] ?? '');
  return words.length > 1 &&
    !/["'`$;&|<>()\\]/.test(command) &&
    /^(?:npx|npm|bunx|bun|pnpm|pnpx|yarn|uvx|uv|pipx|docker|podman|env)$/.test(program)
    ? words
    : [command];
}

function shell(what: string): Understood {
  return refused(
    'runs-shell',
    `runs a shell (${what.slice(0, 80)}), and what that does can't be told`,
    'Write the server’s own npx or uvx command there, then import again.',
  );
}

function localProgram(what: string): Understood {
  return refused(
    'runs-local-program',
    `runs a program of this machine (${what.slice(0, 80)})`,
    'Name the package it comes from with --source NAME=npm:… or NAME=pypi:….',
  );
}

function unknownFlag(flag: string): Understood {
  return refused(
    'launcher-unknown-flag',
    `has the flag ${flag}, whose meaning for an image is not known`,
    'Leave it out, or name the package with --source.',
  );
}

function otherIndex(flag: string): Understood {
  return refused(
    'other-index',
    `takes packages from another index (${flag})`,
    'Put that index into the configuration of npm or uv, for the scope or project it serves, and leave out the flag.',
  );
}

function beside(what: string): Understood {
  return refused(
    'extra-packages',
    `installs more beside the server (${what.slice(0, 80)})`,
    'Where that is an extra of the project, write it as project[extra].',
  );
}
