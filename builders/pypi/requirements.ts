import { parseIntegrity } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import type { LayerLock, WheelArtifact } from '../lock.ts';
import type { Platform } from '../platform.ts';
import { formatSource, looksLikeSource, normalizeProject, parseSource, type Source } from '../source.ts';
import { machineOf } from './tags.ts';

/** One entry of a `requirements.txt`. */
export interface Pin {
  /** Normalised. */
  readonly name: string;
  readonly version: string;
  readonly sha256: readonly string[];
  /** Without its hashes, as a constraint. */
  readonly line: string;
}

const PIN = /^([A-Za-z0-9][A-Za-z0-9._-]*) *(?:\[[A-Za-z0-9._, -]*\])? *== *([A-Za-z0-9._+!-]+) *(?:; *([^\\#]+?))? *$/;

/**
 * Reads the pins of a `requirements.txt` as resolvers and update bots write it.
 * @throws McpBuildError `lock-invalid` for anything but pins and hashes: a URL, an option or another file would be the lock's own source
 */
export function parsePins(text: string): readonly Pin[] {
  const pins: Pin[] = [];
  for (const whole of text.replace(/\\\r?\n/g, ' ').split(/\r?\n/)) {
    const line = whole.replace(/(?:^|\s)#.*$/, '').trim();
    if (line === '') continue;
    const sha256: string[] = [];
    const rest = line.replace(/\s--hash[= ]sha256:([0-9a-f]{64})(?=\s|$)/g, (_, hash: string) => {
      sha256.push(hash);
      return '';
    });
    const [, name = '', version = '', marker] = PIN.exec(rest.trim()) ?? [];
    if (name === '') throw invalid('requirements.txt', line);
    const normal = normalizeProject(name);
    pins.push({ name: normal, version, sha256, line: `${normal}==${version}${marker ? ` ; ${marker}` : ''}` });
  }
  return pins;
}

/** The one requirement of `requirements.in`, which must be for the same project. @throws McpBuildError `lock-invalid` */
export function parseInput(text: string, source: Source): Source {
  const lines = text.split(/\r?\n/).map((line) => line.replace(/(?:^|\s)#.*$/, '').trim());
  const [line = '', ...more] = lines.filter((one) => one !== '');
  if (more.length > 0 || looksLikeSource(line)) throw invalid('requirements.in', more[0] ?? line);
  let found: Source;
  try {
    found = parseSource(`pypi:${line}`);
  } catch {
    throw invalid('requirements.in', line);
  }
  if (found.name !== source.name) throw invalid('requirements.in', `${line} is not ${formatSource(source)}`);
  return found;
}

function invalid(file: string, line: string): McpBuildError {
  return new McpBuildError({
    code: 'lock-invalid',
    message: `${file} has what a lock can't have: ${JSON.stringify(line.slice(0, 200))}`,
    input: file,
    fix: 'Leave one requirement in requirements.in, and pins with hashes in requirements.txt; indexes belong into the configuration of uv or pip.',
  });
}

/**
 * The native lock as pip and uv install it (`--require-hashes`): one entry for each name and version, with the hash of every locked
 * wheel, and a marker where not all platforms take it. Names no index.
 */
export function formatRequirements(layers: Readonly<Partial<Record<Platform, readonly LayerLock[]>>>): string {
  const entries = new Map<
    string,
    { readonly name: string; readonly hashes: Set<string>; readonly machines: Set<string> }
  >();
  const all = new Set<string>();
  for (const [platform, list] of Object.entries(layers) as [Platform, readonly LayerLock[]][]) {
    const machine = machineOf(platform);
    all.add(machine);
    for (const file of list.flatMap(({ files }) => files)) {
      if (file.kind !== 'wheel') continue;
      const pin = `${file.name}==${file.version}`;
      const entry = entries.get(pin) ?? { name: file.name, hashes: new Set(), machines: new Set() };
      entry.hashes.add(hashOf(file));
      entry.machines.add(machine);
      entries.set(pin, entry);
    }
  }
  return [...entries]
    .sort(([a, one], [b, other]) => compare(one.name, other.name) || compare(a, b))
    .map(([pin, { hashes, machines }]) => {
      const some = machines.size < all.size;
      const marker = [...machines].sort().map((machine) => `platform_machine == "${machine}"`);
      const hashLines = [...hashes].sort().map((hash) => `    --hash=sha256:${hash}`);
      return `${[`${pin}${some ? ` ; ${marker.join(' or ')}` : ''}`, ...hashLines].join(' \\\n')}\n`;
    })
    .join('');
}

function hashOf(file: WheelArtifact): string {
  return parseIntegrity(file.integrity).hex;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
