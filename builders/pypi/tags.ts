import { architectureOf, type Platform } from '../platform.ts';
import { normalizeProject } from '../source.ts';

/** The interpreter of the Python base image. */
export const PYTHON = { major: 3, minor: 13 } as const;

/** Its whole version, for markers and `Requires-Python`: Debian stable keeps it and patches it. */
export const PYTHON_VERSION = `${PYTHON.major}.${PYTHON.minor}.5`;

/**
 * Newest glibc a wheel may ask for. The base image's is newer (2.41); the ceiling is what uv can be told on both platforms, and
 * what a lock made today keeps working on.
 */
const GLIBC_MINOR = 36;

/** How uv names what `rankOf` accepts. */
export function uvPlatform(platform: Platform): string {
  return `${machineOf(platform)}-manylinux_2_${GLIBC_MINOR}`;
}

/** `platform_machine` of environment markers. */
export function machineOf(platform: Platform): 'x86_64' | 'aarch64' {
  return architectureOf(platform) === 'arm64' ? 'aarch64' : 'x86_64';
}

export interface WheelName {
  /** Normalised (PEP 503). */
  readonly name: string;
  readonly version: string;
  /** As a number and the text that follows it; absent sorts first. */
  readonly build: readonly [number, string] | undefined;
  readonly pythons: readonly string[];
  readonly abis: readonly string[];
  readonly platforms: readonly string[];
}

// The binary distribution format's escaping leaves no '-' in any part, and only a handful of characters.
const WHEEL =
  /^(?<name>[A-Za-z0-9_.]+)-(?<version>[A-Za-z0-9_.!+]+)(?:-(?<build>[0-9][A-Za-z0-9_.]*))?-(?<python>[A-Za-z0-9_.]+)-(?<abi>[A-Za-z0-9_.]+)-(?<platform>[A-Za-z0-9_.]+)\.whl$/;

/** Reads a wheel's file name; undefined for anything that isn't one. */
export function parseWheelName(file: string): WheelName | undefined {
  const found = file.length <= 300 ? WHEEL.exec(file)?.groups : undefined;
  if (!found) return undefined;
  const build = /^([0-9]+)(.*)$/.exec(found.build ?? '');
  return {
    name: normalizeProject(found.name ?? ''),
    version: found.version ?? '',
    build: build ? [Number(build[1]), build[2] ?? ''] : undefined,
    pythons: (found.python ?? '').toLowerCase().split('.'),
    abis: (found.abi ?? '').toLowerCase().split('.'),
    platforms: (found.platform ?? '').toLowerCase().split('.'),
  };
}

const ranks = new Map<Platform, ReadonlyMap<string, number>>();

/** 0 is the best tag; undefined: this wheel doesn't run there. The order is that of pip (`packaging.tags`). */
export function rankOf(wheel: WheelName, platform: Platform): number | undefined {
  let order = ranks.get(platform);
  if (!order) {
    order = new Map(supportedTags(platform).map((tag, rank) => [tag, rank]));
    ranks.set(platform, order);
  }
  let best: number | undefined;
  for (const python of wheel.pythons) {
    for (const abi of wheel.abis) {
      for (const system of wheel.platforms) {
        const rank = order.get(`${python}-${abi}-${system}`);
        if (rank !== undefined && (best === undefined || rank < best)) best = rank;
      }
    }
  }
  return best;
}

/** The one pip would install: best tag, then highest build, then the name, so that the choice never depends on the index's order. */
export function preferred<T extends { readonly file: string }>(files: readonly T[], platform: Platform): T | undefined {
  const usable = files.flatMap((file) => {
    const wheel = parseWheelName(file.file);
    const rank = wheel && rankOf(wheel, platform);
    return wheel && rank !== undefined ? [{ file, rank, build: wheel.build }] : [];
  });
  usable.sort(
    (a, b) =>
      a.rank - b.rank ||
      (b.build?.[0] ?? -1) - (a.build?.[0] ?? -1) ||
      compare(b.build?.[1] ?? '', a.build?.[1] ?? '') ||
      compare(a.file.file, b.file.file),
  );
  return usable[0]?.file;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Every tag that runs there, best first. */
export function supportedTags(platform: Platform): string[] {
  const { major, minor } = PYTHON;
  const systems = platformTags(platform);
  const interpreter = `cp${major}${minor}`;
  const tags: string[] = [];
  for (const abi of [interpreter, 'abi3', 'none']) {
    for (const system of systems) tags.push(`${interpreter}-${abi}-${system}`);
  }
  // The stable ABI began with 3.2.
  for (let older = minor - 1; older >= 2; older -= 1) {
    for (const system of systems) tags.push(`cp${major}${older}-abi3-${system}`);
  }
  const pure = [`py${major}${minor}`, `py${major}`];
  for (let older = minor - 1; older >= 0; older -= 1) pure.push(`py${major}${older}`);
  for (const python of pure) {
    for (const system of systems) tags.push(`${python}-none-${system}`);
  }
  tags.push(`${interpreter}-none-any`);
  for (const python of pure) tags.push(`${python}-none-any`);
  return tags;
}

function platformTags(platform: Platform): string[] {
  const machine = machineOf(platform);
  const legacy = new Map([
    [17, 'manylinux2014'],
    ...(machine === 'x86_64'
      ? ([
          [12, 'manylinux2010'],
          [5, 'manylinux1'],
        ] as const)
      : []),
  ]);
  const tags: string[] = [];
  for (let minor = GLIBC_MINOR; minor >= (machine === 'x86_64' ? 5 : 17); minor -= 1) {
    tags.push(`manylinux_2_${minor}_${machine}`);
    const alias = legacy.get(minor);
    if (alias) tags.push(`${alias}_${machine}`);
  }
  return [...tags, `linux_${machine}`];
}
