import { tmpdir } from 'node:os';
import { readZip, spool } from '../archive/index.ts';
import type { Open, WheelArtifact } from '../lock.ts';
import { normalizeProject } from '../source.ts';

/** What a bill of materials says of a wheel beside its name and hash. */
export interface WheelDescription {
  /** An SPDX expression, or what the package says instead. */
  readonly license: string | undefined;
  /** Normalised names of the projects that it requires on some platform, extras left out. */
  readonly requires: readonly string[];
}

/** In bytes; READMEs are part of it. */
const LIMIT = 16 * 1024 * 1024;

/** Reads a wheel's METADATA (core-metadata 2.4). @throws McpBuildError what `open` and the archive reader throw */
export async function describeWheel(wheel: WheelArtifact, open: Open): Promise<WheelDescription> {
  const source = await spool(open(wheel), { name: wheel.file, folder: tmpdir() });
  try {
    for await (const member of readZip(source, { name: wheel.file })) {
      if (member.type !== 'file' || !/^[^/]+\.dist-info\/METADATA$/.test(member.path) || member.size > LIMIT) continue;
      const chunks: Uint8Array[] = [];
      if (member.content instanceof Uint8Array) chunks.push(member.content);
      else for await (const chunk of member.content) chunks.push(Buffer.from(chunk));
      return describeMetadata(Buffer.concat(chunks).toString('utf8'));
    }
    return { license: undefined, requires: [] };
  } finally {
    await source[Symbol.asyncDispose]();
  }
}

export function describeMetadata(text: string): WheelDescription {
  const end = /\r?\n\r?\n/.exec(text);
  const lines = (end ? text.slice(0, end.index) : text).split(/\r?\n/);
  const values = (field: string) =>
    lines
      .filter((line) => line.toLowerCase().startsWith(`${field}:`))
      .map((line) => line.slice(field.length + 1).trim());
  const classifier = values('classifier').find((line) => line.startsWith('License :: OSI Approved :: '));
  // The old field often holds the licence's whole text.
  const written = values('license').find((line) => line.length <= 100 && line !== 'UNKNOWN');
  const requires = values('requires-dist')
    .filter((line) => !/;.*\bextra\b/.test(line))
    .map((line) => normalizeProject(/^[A-Za-z0-9._-]+/.exec(line)?.[0] ?? ''))
    .filter((name) => name !== '');
  return {
    license: values('license-expression')[0] ?? written ?? classifier?.split(' :: ').at(-1),
    requires: [...new Set(requires)],
  };
}
