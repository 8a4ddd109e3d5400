import { createReadStream } from 'node:fs';
import { copyFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { McpBuildError } from '../../errors/index.ts';
import { makeFolders, temporaryBeside } from '../../files/index.ts';
import { readTarGz } from '../archive/index.ts';
import { type LocalFile, readLocalFile } from '../local.ts';
import type { Source } from '../source.ts';
import { MANIFEST_LIMIT } from './manifest.ts';
import { isPackageName, isVersion } from './names.ts';
import { type Packument, readPackument } from './packument.ts';

/** A tarball that `npm pack` made, as a source: its package.json says which package it is. */
export async function localTarball(path: string): Promise<{ readonly source: Source; readonly local: LocalFile }> {
  const manifest = await manifestOf(path);
  const { name, version } = manifest;
  if (!isPackageName(name) || !isVersion(version))
    throw notAPackage(path, 'its package.json names no package and version');
  return { source: { ecosystem: 'npm', name, range: version }, local: await readLocalFile(path, 'sha512') };
}

/** What a registry would say of it. Its age is nobody's to ask: whoever names a file means that file. */
export async function localPackument({ path, integrity }: LocalFile): Promise<Packument> {
  const manifest = await manifestOf(path);
  const { name, version } = manifest as { name: string; version: string };
  const scripts = manifest.scripts as Record<string, unknown> | undefined;
  const installs = ['preinstall', 'install', 'postinstall'].some((script) => typeof scripts?.[script] === 'string');
  const own = { ...manifest, ...(installs ? { hasInstallScript: true } : {}), dist: { integrity } };
  return readPackument(
    {
      name,
      'dist-tags': { latest: version },
      versions: { [version]: own },
      time: { [version]: '1985-10-26T08:15:00.000Z' },
    },
    name,
    path,
  );
}

/** Puts the file where the resolver looks for tarballs before it would ask a registry. */
export async function placeTarball({ path }: LocalFile, staged: string): Promise<void> {
  await makeFolders(dirname(staged));
  const temporary = temporaryBeside(staged);
  try {
    await copyFile(path, temporary);
    await rename(temporary, staged);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function manifestOf(path: string): Promise<Record<string, unknown>> {
  let found: Record<string, unknown> | undefined;
  for await (const member of readTarGz(createReadStream(path), { name: path, repeats: 'given' })) {
    if (member.type !== 'file') continue;
    const isManifest = /^[^/]+\/package\.json$/.test(member.path) && member.size <= MANIFEST_LIMIT && !found;
    const parts: Uint8Array[] = [];
    for await (const part of member.content instanceof Uint8Array ? [member.content] : member.content) {
      if (isManifest) parts.push(Buffer.from(part));
    }
    if (isManifest) found = parse(Buffer.concat(parts).toString('utf8'));
  }
  if (!found) throw notAPackage(path, 'it has no readable package.json');
  return found;
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function notAPackage(path: string, why: string): McpBuildError {
  return new McpBuildError({
    code: 'package-invalid',
    message: `${path} is no npm package: ${why}`,
    input: path,
    fix: 'Make it with `npm pack`.',
  });
}
