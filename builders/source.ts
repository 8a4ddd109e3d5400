import { McpBuildError } from '../errors/index.ts';

export type Ecosystem = 'npm' | 'pypi';

/** What the user asked for. `range` is empty for "the newest that the release age allows". */
export interface Source {
  readonly ecosystem: Ecosystem;
  /** As its registry spells it: `@scope/name` for npm, normalised (PEP 503) for PyPI. */
  readonly name: string;
  /** An npm range or dist-tag (`^1.2`, `latest`), or a PEP 440 specifier set (`==1.2`, `>=1,<2`), after its extras if any (`[cli]>=1`). */
  readonly range: string;
}

// What validate-npm-package-name accepts for new packages, and nothing a shell, a URL or a path could read otherwise.
const NPM_NAME = /^(?:@[a-z0-9][a-z0-9._-]*\/)?[a-z0-9_][a-z0-9._-]*$/;
const NPM_RANGE = /^[A-Za-z0-9.^~<>=*|+ -]{1,200}$/;
const PYPI_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$/;
const PYPI_SPECIFIER = /^(?:(?:===?|!=|~=|<=?|>=?) *[A-Za-z0-9.*+!_-]+ *(?:, *|$))+$/;

// PEP 508: identifiers between brackets.
const PYPI_EXTRAS =
  /^\[ *[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?: *, *[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)* *\]/;

/** PEP 503. */
export function normalizeProject(name: string): string {
  return name.replace(/[-_.]+/g, '-').toLowerCase();
}

/**
 * Reads `npm:<name>[@range]` and `pypi:<name>[[extras]][specifier]` (`pypi:<name>@1.2` is uvx's spelling of `==1.2`).
 * @throws McpBuildError `source-invalid`
 */
export function parseSource(text: string): Source {
  const colon = text.indexOf(':');
  const ecosystem = text.slice(0, colon);
  const rest = text.slice(colon + 1);
  if (ecosystem === 'npm') return parseNpm(text, rest);
  if (ecosystem === 'pypi') return parsePypi(text, rest);
  // The commands that take these read them before; what is left are manifests and configurations, which others must be able to follow.
  if (looksLikeServerJson(text) || looksLikeFile(text)) {
    throw invalid(
      text,
      'is a file or an address, and only the name of a package can stand here',
      'Write npm:<package>[@range] or pypi:<project>[specifier]; `mcp-build lock`, `build` and `run` take files and a server.json.',
    );
  }
  throw invalid(text, 'has no ecosystem', 'Write npm:<package>[@range] or pypi:<project>[specifier].');
}

/** Whether a command line word is meant as a source rather than as the name of a lock. */
export function looksLikeSource(text: string): boolean {
  return text.startsWith('npm:') || text.startsWith('pypi:') || looksLikeServerJson(text) || looksLikeFile(text);
}

/** Whether a command line word is the path of an npm tarball or of a wheel. */
export function looksLikeFile(text: string): boolean {
  return text.startsWith('file:') || /^[^:@]+\.(?:tgz|whl)$/.test(text);
}

/** Whether a command line word is the path or the address of a `server.json`. Lock and image names have no such ending. */
export function looksLikeServerJson(text: string): boolean {
  return /^https?:\/\//i.test(text) || /(?:^|[\\/])[^\\/]+\.json$/.test(text);
}

export function formatSource(source: Source): string {
  if (source.ecosystem === 'npm') return `npm:${source.name}${source.range ? `@${source.range}` : ''}`;
  return `pypi:${source.name}${source.range}`;
}

/** A folder and image name for a source: its last path segment, which both registries keep to `[a-z0-9._-]`. */
export function defaultName(source: Source): string {
  return (source.name.split('/').at(-1) ?? source.name)
    .toLowerCase()
    .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '')
    .replace(/[^a-z0-9]{2,}/g, '-');
}

const SERVER_NAME = /^[a-z0-9]+(?:[._-][a-z0-9]+)*$/;

/** A lock's name becomes a folder, an image name and a path of a URL: only what is one plain path segment of an OCI repository. @throws McpBuildError `name-invalid` */
export function parseServerName(text: string): string {
  if (text.length <= 100 && SERVER_NAME.test(text)) return text;
  throw new McpBuildError({
    code: 'name-invalid',
    message: `"${text}" can't be the name of a server`,
    input: text,
    fix: 'Use lower-case letters and digits, with single . _ - between them, at most 100 of them.',
    exit: 2,
  });
}

function parseNpm(text: string, rest: string): Source {
  const at = rest.indexOf('@', 1);
  const name = at < 0 ? rest : rest.slice(0, at);
  const range = at < 0 ? '' : rest.slice(at + 1).trim();
  if (!NPM_NAME.test(name) || name.length > 214 || name.includes('..')) {
    throw invalid(
      text,
      `"${name}" is not the name of an npm package`,
      'Write npm:<package>[@range], as in npm:@modelcontextprotocol/server-memory.',
    );
  }
  if (at >= 0 && !NPM_RANGE.test(range)) {
    throw invalid(
      text,
      `"${range}" is neither a version range nor a dist-tag`,
      'Write a range of published versions, as in @1.2.3 or @^1.2; git, file and URL sources are not taken.',
    );
  }
  return { ecosystem: 'npm', name, range };
}

function parsePypi(text: string, rest: string): Source {
  const match = /^([A-Za-z0-9._-]*)(.*)$/s.exec(rest);
  const name = match?.[1] ?? '';
  let range = (match?.[2] ?? '').trim();
  if (!PYPI_NAME.test(name) || name.length > 200) {
    throw invalid(
      text,
      `"${name || rest}" is not the name of a PyPI project`,
      'Write pypi:<project>[specifier], as in pypi:mcp-server-time.',
    );
  }
  const bracketed = PYPI_EXTRAS.exec(range)?.[0] ?? '';
  range = range.slice(bracketed.length).trim();
  if (range.startsWith('@')) range = range === '@latest' ? '' : `==${range.slice(1)}`;
  if (range !== '' && !PYPI_SPECIFIER.test(range)) {
    throw invalid(
      text,
      `"${range}" is not a version specifier`,
      'Write it as in ==1.2.3 or >=1,<2, after the extras if any, as in [cli]==1.2.3; URLs are not taken.',
    );
  }
  return { ecosystem: 'pypi', name: normalizeProject(name), range: extrasOf(bracketed) + range.replace(/ /g, '') };
}

/** Normalised and sorted, so that two spellings of the same extras are the same source. */
function extrasOf(bracketed: string): string {
  const names = bracketed
    .replace(/[[\] ]/g, '')
    .split(',')
    .filter((name) => name !== '');
  return names.length === 0 ? '' : `[${[...new Set(names.map(normalizeProject))].sort().join(',')}]`;
}

function invalid(input: string, reason: string, fix: string): McpBuildError {
  return new McpBuildError({ code: 'source-invalid', message: `Source "${input}": ${reason}`, input, fix, exit: 2 });
}
