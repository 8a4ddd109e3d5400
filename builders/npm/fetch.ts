import { createReadStream } from 'node:fs';
import { access, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseIntegrity, verified } from '../../digest/index.ts';
import { isFault, McpBuildError } from '../../errors/index.ts';
import { makeFolders, temporaryBeside } from '../../files/index.ts';
import type { FetchOptions } from '../adapter.ts';
import type { NpmArtifact } from '../lock.ts';
import { type NpmConfiguration, npmConfiguration } from './configuration.ts';
import { type Reply, reasonOf, request, retryPlan } from './http.ts';
import { hostileName, isPackageName, isVersion, tarballName } from './names.ts';
import { packuments, registryOf } from './packuments.ts';

/** Ceiling in bytes for a tarball, whose size npm's index doesn't say; the largest in use (browsers, models) stay below. */
export const TARBALL_LIMIT = 512 * 1024 * 1024;

type Wanted = Pick<NpmArtifact, 'name' | 'version' | 'integrity' | 'file'>;

/**
 * The bytes of a locked tarball from the registry that the user's npm configuration has for its scope, as they come: nothing is
 * checked here but their number. @throws McpBuildError `artifact-unavailable`, `npm-config-invalid`
 */
export async function* fetchTarball(artifact: Wanted, options: FetchOptions): AsyncGenerator<Uint8Array> {
  const { name, version } = artifact;
  // The lock is a file that someone may have edited: what goes into a URL or path must be a name.
  if (!isPackageName(name) || !isVersion(version)) throw hostileName(`${name}@${version}`, 'the lock');
  const staged = stagedPath(artifact, options.cache);
  if (await exists(staged)) {
    yield* createReadStream(staged, { highWaterMark: 1024 * 1024 });
    // Whoever read it to the end has it now.
    await rm(staged, { force: true });
    return;
  }
  const configuration = await npmConfiguration(options);
  try {
    yield* download(artifact, configuration, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    if (isFault(error, 'artifact-unavailable')) throw error;
    throw unavailable(artifact, error instanceof Error ? error.message : String(error), error);
  }
}

/**
 * Brings a tarball to where `fetchTarball` looks first, so that a build right after its lock doesn't download the server twice.
 * @returns its path. @throws McpBuildError `integrity`, `artifact-unavailable`
 */
export async function stageTarball(artifact: Wanted, options: FetchOptions): Promise<string> {
  const path = stagedPath(artifact, options.cache);
  if (await exists(path)) {
    try {
      for await (const _ of verified(createReadStream(path), expectedOf(artifact)));
      return path;
    } catch (error) {
      if (!isFault(error, 'integrity')) throw error;
      await rm(path, { force: true });
    }
  }
  await makeFolders(join(options.cache, 'staged'));
  const temporary = temporaryBeside(path);
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      for await (const chunk of verified(fetchTarball(artifact, options), expectedOf(artifact)))
        await file.writeFile(chunk);
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    return path;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

function expectedOf(artifact: Wanted) {
  return { name: `${artifact.name}@${artifact.version}`, integrity: artifact.integrity, limit: TARBALL_LIMIT };
}

/** Where a tarball lies that was brought here before its build. */
export function stagedPath(artifact: Pick<Wanted, 'integrity'>, cache: string): string {
  const { algorithm, hex } = parseIntegrity(artifact.integrity);
  return join(cache, 'staged', `${algorithm}-${hex}`);
}

/** The conventional path first, which needs no package document; where a registry keeps its files elsewhere, the document tells. */
async function* download(
  artifact: Wanted,
  configuration: NpmConfiguration,
  options: FetchOptions,
): AsyncGenerator<Uint8Array> {
  const registry = registryOf(artifact.name, configuration.flat);
  const conventional = `${registry.replace(/\/+$/, '')}/${artifact.name}/-/${tarballName(artifact.name, artifact.version)}`;
  const asking = { configuration, registry, signal: options.signal };
  let url = conventional;
  let reply = await request(url, asking);
  if (reply.status === 404) {
    reply.body.destroy();
    url = await documentedUrl(artifact, configuration, options, registry);
    if (url !== conventional) reply = await request(url, asking);
  }
  yield* resumed(artifact, url, reply, asking);
}

/** A connection that breaks half-way is opened again and continued; that both halves are of one file is what the hash is for. */
async function* resumed(
  artifact: Wanted,
  url: string,
  first: Reply,
  asking: Parameters<typeof request>[1],
): AsyncGenerator<Uint8Array> {
  const { retries, pause } = retryPlan(asking.configuration.flat);
  let reply = first;
  let given = 0;
  for (let attempt = 0; ; attempt++) {
    let skip = reply.status === 206 ? 0 : given;
    if (reply.status !== 200 && !(reply.status === 206 && given > 0)) {
      reply.body.destroy();
      throw unavailable(artifact, `${reply.url} answered ${reply.status}`);
    }
    try {
      for await (const chunk of reply.body as AsyncIterable<Uint8Array>) {
        const fresh = chunk.subarray(Math.min(skip, chunk.length));
        skip -= chunk.length - fresh.length;
        given += fresh.length;
        if (given > TARBALL_LIMIT) throw unavailable(artifact, `${reply.url} sends more than ${TARBALL_LIMIT} bytes`);
        if (fresh.length > 0) yield fresh;
      }
      return;
    } catch (cause) {
      asking.signal?.throwIfAborted();
      if (cause instanceof McpBuildError) throw cause;
      if (attempt >= retries) throw unavailable(artifact, `${reply.url} ${reasonOf(cause)}`, cause);
    } finally {
      reply.body.destroy();
    }
    await new Promise((resolve) => setTimeout(resolve, pause(attempt)));
    reply = await request(url, { ...asking, ...(given > 0 ? { headers: { range: `bytes=${given}-` } } : {}) });
  }
}

/** Like npm: a tarball's address may be on any host, but credentials only go to hosts that npm's configuration has them for. */
async function documentedUrl(
  { name, version }: Wanted,
  configuration: NpmConfiguration,
  options: FetchOptions,
  registry: string,
): Promise<string> {
  const packument = await packuments(configuration, join(options.cache, 'packuments'), options.signal).of(name);
  const dist = packument.versions[version]?.dist as { tarball?: string } | undefined;
  if (dist?.tarball === undefined) {
    throw unavailable({ name, version }, 'its registry has no such version');
  }
  const url = URL.canParse(dist.tarball) ? new URL(dist.tarball) : undefined;
  const secure = new URL(registry).protocol === 'https:';
  // Behind a TLS registry npm's own proxies often write plain addresses of the same host: asked for by TLS, not trusted as they are.
  if (url && secure && url.protocol === 'http:' && url.hostname === new URL(registry).hostname) url.protocol = 'https:';
  if (!url || (secure && url.protocol !== 'https:')) {
    throw unavailable({ name, version }, 'its registry names no address that can be fetched from');
  }
  return url.href;
}

function unavailable(artifact: Pick<Wanted, 'name' | 'version'>, what: string, cause?: unknown): McpBuildError {
  const input = `${artifact.name}@${artifact.version}`;
  return new McpBuildError({
    code: 'artifact-unavailable',
    message: `${input} can't be fetched: ${what}`,
    input,
    fix: "Check the network and npm's configuration (registry, credentials, proxy), then try again.",
    exit: 5,
    cause,
  });
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
