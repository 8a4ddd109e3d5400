import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { pathToFileURL } from 'node:url';
import { verified } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { LOCAL_INDEX, type LocalFile, readLocalFile } from '../local.ts';
import type { WheelArtifact } from '../lock.ts';
import type { Platform } from '../platform.ts';
import type { Source } from '../source.ts';
import { noWheel } from './diagnose.ts';
import { parseWheelName, preferred } from './tags.ts';

/** A wheel on this machine as a source: its file name says which project it is, and its METADATA must agree. */
export async function localWheel(path: string): Promise<{ readonly source: Source; readonly local: LocalFile }> {
  const name = parseWheelName(basename(path));
  if (!name) {
    throw new McpBuildError({
      code: 'wheel-invalid',
      message: `"${basename(path)}" is not the name of a wheel`,
      input: path,
      fix: 'Leave a wheel the name it was built with: it says project, version and where it runs.',
    });
  }
  const version = name.version.replaceAll('_', '-');
  return {
    source: { ecosystem: 'pypi', name: name.name, range: `==${version}` },
    local: await readLocalFile(path, 'sha256'),
  };
}

/** PEP 508, for the resolver. */
export function localRequirement(source: Source, { path }: LocalFile): string {
  return `${source.name} @ ${pathToFileURL(path).href}`;
}

/** @throws McpBuildError `no-wheel` where it is for other platforms */
export function localArtifact(version: string, source: Source, local: LocalFile, platform: Platform): WheelArtifact {
  const { file, integrity, size } = local;
  if (!preferred([{ file }], platform)) throw noWheel([`${source.name} ${version}`], { platform });
  return { kind: 'wheel', name: source.name, version, file, integrity, size, index: LOCAL_INDEX };
}

export function openLocal({ path, file, integrity, size }: LocalFile): AsyncIterable<Uint8Array> {
  return verified(createReadStream(path), { name: file, integrity, size });
}
