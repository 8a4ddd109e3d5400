import { McpBuildError } from '../../errors/index.ts';
import { normalizeProject } from '../source.ts';
import { sameVersion } from './version.ts';

/** What this project needs of core metadata. */
export interface Metadata {
  readonly name: string;
  readonly version: string;
  /** The README, where it is in the body or in `Description`. */
  readonly description: string;
}

/** Reads METADATA: header fields as in an email, then a body. The first of a repeated field counts, and there is no decoding to disagree about. */
export function parseMetadata(text: string): Metadata {
  const end = /\r?\n\r?\n/.exec(text);
  const head = end ? text.slice(0, end.index) : text;
  const fields = new Map<string, string>();
  for (const line of head.replace(/\r?\n[ \t]+/g, ' ').split(/\r?\n/)) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).trim().toLowerCase();
    if (colon > 0 && !fields.has(name)) fields.set(name, line.slice(colon + 1).trim());
  }
  return {
    name: fields.get('name') ?? '',
    version: fields.get('version') ?? '',
    description: end ? text.slice(end.index + end[0].length) : (fields.get('description') ?? ''),
  };
}

/** A wheel that says of itself that it is another package would be listed, scanned and reported as that other one. @throws McpBuildError `manifest-mismatch` */
export function checkMetadata(
  metadata: Pick<Metadata, 'name' | 'version'>,
  locked: { readonly name: string; readonly version: string; readonly file: string },
): void {
  if (
    normalizeProject(metadata.name) === normalizeProject(locked.name) &&
    sameVersion(metadata.version, locked.version)
  ) {
    return;
  }
  throw new McpBuildError({
    code: 'manifest-mismatch',
    message: `${locked.file} says that it is ${JSON.stringify(`${metadata.name} ${metadata.version}`.slice(0, 200))}, not ${locked.name} ${locked.version}`,
    input: locked.file,
    fix: 'Do not use this release: what it is called and what it contains differ.',
    exit: 4,
  });
}

/** `mcp-name: <name>` in the README is how a project claims a name in the MCP Registry. */
export function claimedServerName(description: string): string | undefined {
  const name = /(?:^|[^A-Za-z0-9_-])mcp-name:\s*([A-Za-z0-9.-]{1,200}\/[A-Za-z0-9._-]{1,200})/.exec(description)?.[1];
  return name?.replace(/[.]+$/, '');
}
