import { tmpdir } from 'node:os';
import { type FileMember, readZip, spool } from '../archive/index.ts';
import type { Open, WheelArtifact } from '../lock.ts';
import { readScripts } from './entrypoint.ts';
import { wheelInvalid } from './faults.ts';
import { placeOf, SITE } from './layout.ts';
import { checkMetadata, claimedServerName, parseMetadata } from './metadata.ts';

/** What of a wheel Python runs at every start, whoever imports it or not. */
export interface StartupHook {
  /** `name@version` of the package. */
  readonly package: string;
  /** Path in the image, without a leading slash. */
  readonly path: string;
  /** The lines of a `.pth` file that are code; empty for a module, all of which is. */
  readonly lines: readonly string[];
}

export interface Inspected {
  /** Commands it installs: console and GUI scripts, then those it ships as files. */
  readonly commands: readonly string[];
  /** The name in the MCP Registry that its README claims. */
  readonly serverName: string | undefined;
  readonly hooks: readonly StartupHook[];
}

const TEXT_LIMIT = 16 * 1024 * 1024;

/**
 * Looks into a wheel without installing it.
 * @throws McpBuildError `manifest-mismatch` when it says it is another package, `wheel-invalid`, `archive-unsafe`, `archive-invalid`, `integrity`
 */
export async function inspect(wheel: WheelArtifact, open: Open): Promise<Inspected> {
  const source = await spool(open(wheel), { name: wheel.file, folder: tmpdir() });
  try {
    const info = new Map<string, string>();
    const files: string[] = [];
    const hooks: StartupHook[] = [];
    for await (const member of readZip(source, { name: wheel.file })) {
      if (member.type === 'directory') continue;
      const place = placeOf(member.path, wheel);
      if (place.kind === 'script') files.push(place.name);
      if (place.kind === 'info' && (place.name === 'METADATA' || place.name === 'entry_points.txt')) {
        info.set(place.name, await textOf(member, wheel));
      }
      const top = place.path.startsWith(`${SITE}/`) ? place.path.slice(SITE.length + 1) : '';
      if (/^[^/]+\.pth$/.test(top)) {
        // site.py runs exactly the lines that begin with `import` and a space or tab.
        const lines = (await textOf(member, wheel)).split(/\r\n|\r|\n/).filter((line) => /^import[ \t]/.test(line));
        hooks.push({ package: `${wheel.name}@${wheel.version}`, path: place.path, lines });
      } else if (/^(?:site|user)customize(?:\.py|\.pyc|\.[^/]*\.so|\.so|\/__init__\.pyc?)$/.test(top)) {
        hooks.push({ package: `${wheel.name}@${wheel.version}`, path: place.path, lines: [] });
      }
    }
    const metadata = parseMetadata(info.get('METADATA') ?? '');
    checkMetadata(metadata, wheel);
    const scripts = readScripts(info.get('entry_points.txt') ?? '', wheel.file).map(({ name }) => name);
    return {
      commands: [...new Set([...scripts, ...files])],
      serverName: claimedServerName(metadata.description),
      hooks,
    };
  } finally {
    await source[Symbol.asyncDispose]();
  }
}

async function textOf(member: FileMember, wheel: WheelArtifact): Promise<string> {
  if (member.size > TEXT_LIMIT) throw wheelInvalid(wheel.file, `has a ${member.path} of ${member.size} bytes`);
  if (member.content instanceof Uint8Array) return Buffer.from(member.content).toString('utf8');
  const parts: Buffer[] = [];
  for await (const part of member.content) parts.push(Buffer.from(part));
  return Buffer.concat(parts).toString('utf8');
}
