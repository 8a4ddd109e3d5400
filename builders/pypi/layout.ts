import { posix } from 'node:path';
import type { WheelArtifact } from '../lock.ts';
import { normalizeProject } from '../source.ts';
import { isScriptName } from './entrypoint.ts';
import { wheelInvalid } from './faults.ts';
import { PYTHON } from './tags.ts';
import { sameVersion } from './version.ts';

const PREFIX = 'usr/local';

/** Where Debian's Python looks for what wasn't installed by Debian, also with `-I`. Relative to the image's root. */
export const SITE = `${PREFIX}/lib/python${PYTHON.major}.${PYTHON.minor}/dist-packages`;
export const SCRIPTS = `${PREFIX}/bin`;
const HEADERS = `${PREFIX}/include/python${PYTHON.major}.${PYTHON.minor}`;

/** Where one member of a wheel goes. */
export type Place =
  | { readonly kind: 'file'; readonly path: string }
  /** From `.data/scripts`: executable, its `#!python` to be replaced. */
  | { readonly kind: 'script'; readonly path: string; readonly name: string }
  /** Of `.dist-info`, by its name there. */
  | { readonly kind: 'info'; readonly path: string; readonly name: string };

/**
 * By the binary distribution format: the root and `.data/{purelib,platlib}` to site, `.data/scripts` to the executables, `.data/data`
 * under the prefix, `.data/headers` to the headers.
 * @param path as the archive reader gives it: relative, no `..`. @throws McpBuildError `wheel-invalid`
 */
export function placeOf(path: string, wheel: WheelArtifact): Place {
  const [top = '', second = '', ...rest] = path.split('/');
  const inner = rest.join('/');
  if (top.endsWith('.dist-info')) {
    if (!isOwn(top, '.dist-info', wheel)) throw wheelInvalid(wheel.file, `holds ${top}, which is another package's`);
    if (second === '') throw wheelInvalid(wheel.file, `holds a file called ${top}`);
    return { kind: 'info', path: `${SITE}/${path}`, name: path.slice(top.length + 1) };
  }
  if (!top.endsWith('.data')) return { kind: 'file', path: `${SITE}/${path}` };
  // A folder that merely ends so is as good a package as any; only the wheel's own is special.
  if (!isOwn(top, '.data', wheel)) return { kind: 'file', path: `${SITE}/${path}` };
  if (inner === '') throw wheelInvalid(wheel.file, `holds ${path}, which belongs nowhere`);
  switch (second) {
    case 'purelib':
    case 'platlib':
      return file(`${SITE}/${inner}`, path, wheel);
    case 'data':
      return file(`${PREFIX}/${inner}`, path, wheel);
    case 'headers':
      return file(`${HEADERS}/${wheel.name}/${inner}`, path, wheel);
    case 'scripts':
      if (rest.length !== 1 || !isScriptName(inner)) {
        throw wheelInvalid(wheel.file, `holds ${path}, which is no name for a script`);
      }
      return { kind: 'script', path: `${SCRIPTS}/${inner}`, name: inner };
    default:
      throw wheelInvalid(wheel.file, `holds ${path}, and there is no place called ${JSON.stringify(second)}`);
  }
}

/** By way of `.data` too, nothing may pass for another package's metadata: that is what scanners count. */
function file(target: string, path: string, wheel: WheelArtifact): Place {
  if (/^[^/]+\.dist-info\//.test(target.startsWith(`${SITE}/`) ? target.slice(SITE.length + 1) : '')) {
    throw wheelInvalid(wheel.file, `holds ${path}, which would pass for another package`);
  }
  return { kind: 'file', path: target };
}

/** How RECORD names an installed file: relative to site, with `../` for what lies outside. */
export function recordPath(path: string): string {
  return posix.relative(SITE, path);
}

function isOwn(folder: string, suffix: string, wheel: WheelArtifact): boolean {
  const stem = folder.slice(0, -suffix.length);
  const dash = stem.indexOf('-');
  if (dash < 1) return false;
  // Old build backends keep '-' in the name: every cut that fits is the right one.
  for (let at = dash; at > 0; at = stem.indexOf('-', at + 1)) {
    if (
      normalizeProject(stem.slice(0, at)) === normalizeProject(wheel.name) &&
      sameVersion(stem.slice(at + 1).replaceAll('_', '-'), wheel.version)
    ) {
      return true;
    }
  }
  return false;
}
