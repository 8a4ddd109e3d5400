import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { architectureOf, type Built, hostPlatform, type Platform } from '../../builders/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { makeFolders, temporaryBeside } from '../../files/index.ts';
import { copy, type LayoutStore, openLayout } from '../../registry/index.ts';
import { descriptor, immutableTag } from './build.ts';
import type { Environment } from './home.ts';

/** Where a build goes beside the store. */
export type Output =
  | { readonly kind: 'oci'; readonly folder: string }
  | { readonly kind: 'docker-archive'; readonly file: string }
  | { readonly kind: 'docker' };

/** @throws McpBuildError `output-invalid` */
export function parseOutput(text: string): Output {
  if (text === 'docker') return { kind: 'docker' };
  const colon = text.indexOf(':');
  const where = text.slice(colon + 1);
  if (colon > 0 && where !== '') {
    if (text.startsWith('oci:')) return { kind: 'oci', folder: resolve(where) };
    if (text.startsWith('docker-archive:')) return { kind: 'docker-archive', file: resolve(where) };
  }
  throw new McpBuildError({
    code: 'output-invalid',
    message: `"${text}" is not an output`,
    input: text,
    fix: 'Write oci:FOLDER, docker-archive:FILE or docker.',
    exit: 2,
  });
}

export interface OutputOptions {
  readonly built: Built;
  readonly store: LayoutStore;
  readonly environment: Environment;
  readonly progress?: (line: string) => void;
}

/** Writes what was built to one more place. @returns what to tell the user @throws McpBuildError `platform-missing`; what the place throws */
export async function writeOutput(output: Output, options: OutputOptions): Promise<string> {
  switch (output.kind) {
    case 'oci':
      return toLayout(output.folder, options);
    case 'docker-archive':
      return toArchive(output.file, options);
    case 'docker':
      return toDocker(options);
  }
}

async function toLayout(folder: string, { built, store }: OutputOptions): Promise<string> {
  // One name: to scanners, which are given just the folder, two names are two images.
  await copy(store, await openLayout(folder), descriptor(built.index), { tags: [built.lock.name] });
  return `oci:${folder}:${built.lock.name}`;
}

async function toArchive(file: string, { built, store }: OutputOptions): Promise<string> {
  const { imageArchive, readImage } = await import('../../runner/index.ts');
  const image = await readImage(store, descriptor(built.index), architectureOf(onePlatform(built)));
  const temporary = temporaryBeside(file);
  await makeFolders(dirname(file));
  try {
    await pipeline(Readable.from(imageArchive(store, image, immutableTag(built.lock))), createWriteStream(temporary));
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return file;
}

async function toDocker({ built, store, environment, progress }: OutputOptions): Promise<string> {
  const { dockerRuntime, readImage } = await import('../../runner/index.ts');
  const image = await readImage(store, descriptor(built.index), architectureOf(onePlatform(built)));
  progress?.('loading into Docker');
  const runtime = await dockerRuntime(environment);
  await runtime.load(store, image, immutableTag(built.lock));
  return `docker: ${immutableTag(built.lock)}`;
}

/** An archive and a daemon take one image: this machine's, or the only one that was built. */
function onePlatform(built: Built): Platform {
  const platforms = built.images.map(({ platform }) => platform);
  if (platforms.length === 1 && platforms[0]) return platforms[0];
  return hostPlatform();
}
