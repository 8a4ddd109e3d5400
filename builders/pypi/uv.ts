import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { integrityFromHex, verified } from '../../digest/index.ts';
import { isFault, McpBuildError } from '../../errors/index.ts';
import { writeAtomic } from '../../files/index.ts';
import type { ResolveOptions } from '../adapter.ts';
import { readZip, spool } from '../archive/index.ts';
import { fetchWheel } from './fetch.ts';
import { run } from './process.ts';
import { findPrograms } from './search-path.ts';
import { OLDEST_UV, UV_VERSION, UV_WHEELS } from './uv-release.ts';

/**
 * A uv to resolve with: the one on the search path when it is new enough, else the pinned one, fetched once from the user's index.
 * @throws McpBuildError `uv-missing` where there is none for this machine, and what `fetchWheel` throws
 */
export async function findUv(options: ResolveOptions, folder: string): Promise<string> {
  for (const candidate of await findPrograms(['uv'], options.environment.PATH)) {
    if (await isNewEnough(candidate, options, folder)) return candidate;
  }
  return pinnedUv(options);
}

async function isNewEnough(program: string, options: ResolveOptions, folder: string): Promise<boolean> {
  try {
    const { code, stdout } = await run(program, ['--version'], {
      environment: { PATH: options.environment.PATH ?? '', UV_NO_CONFIG: '1' },
      folder,
      timeout: 30_000,
      limit: 64 * 1024,
      signal: options.signal,
    });
    const found = /^uv ([0-9]+)\.([0-9]+)\.([0-9]+)/.exec(stdout);
    if (code !== 0 || !found) return false;
    for (const [at, least] of OLDEST_UV.entries()) {
      const part = Number(found[at + 1]);
      if (part !== least) return part > least;
    }
    return true;
  } catch (error) {
    if (isFault(error, 'program-failed')) return false;
    throw error;
  }
}

async function pinnedUv(options: ResolveOptions): Promise<string> {
  const wheel = UV_WHEELS[machine()];
  if (!wheel) throw missing(machine());
  const target = join(options.cache, 'uv', `${UV_VERSION}-${wheel.sha256.slice(0, 12)}`, 'uv');
  if (
    await access(target, constants.X_OK).then(
      () => true,
      () => false,
    )
  )
    return target;
  options.progress?.(`fetching uv ${UV_VERSION}`);
  const artifact = {
    kind: 'wheel',
    name: 'uv',
    version: UV_VERSION,
    file: wheel.file,
    integrity: integrityFromHex('sha256', wheel.sha256),
    size: wheel.size,
    index: 'default',
  } as const;
  const bytes = verified(fetchWheel(artifact, options), { ...artifact, name: wheel.file });
  const source = await spool(bytes, { name: wheel.file, folder: options.cache, threshold: wheel.size });
  try {
    for await (const member of readZip(source, { name: wheel.file })) {
      if (member.type !== 'file' || member.path !== `uv-${UV_VERSION}.data/scripts/uv`) continue;
      const parts: Uint8Array[] = [];
      if (member.content instanceof Uint8Array) parts.push(member.content);
      else for await (const part of member.content) parts.push(Buffer.from(part));
      await writeAtomic(target, Buffer.concat(parts), 0o755);
      return target;
    }
    throw missing(machine());
  } finally {
    await source[Symbol.asyncDispose]();
  }
}

function machine(): string {
  const { platform, arch } = process;
  if (platform !== 'linux') return `${platform}-${arch}`;
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return `${platform}-${arch}-${report.header?.glibcVersionRuntime ? 'glibc' : 'musl'}`;
}

function missing(where: string): McpBuildError {
  return new McpBuildError({
    code: 'uv-missing',
    message: `Locking a PyPI server needs uv, and there is none to fetch for ${where}`,
    input: where,
    fix: `Install uv ${OLDEST_UV.join('.')} or newer, so that it is on PATH, then try again.`,
  });
}
