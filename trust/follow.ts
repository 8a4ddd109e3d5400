import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { McpBuildError } from '../errors/index.ts';
import { makeFolders } from '../files/index.ts';
import { parseTrustedRoot } from './sigstore.ts';

/** In bytes, of any one file; the library holds metadata to less. The public instance's trusted root has 7,000. */
const LIMIT = 1024 * 1024;
/** In milliseconds, for all of it: a mirror that drips must not hold anybody up. */
const DEADLINE = 60_000;
/** A repository's keys change once or twice a year. */
const ROTATIONS = 64;
const TARGET = 'trusted_root.json';
const ROLES = ['root', 'timestamp', 'snapshot', 'targets'] as const;

/** What is known of a TUF repository: the signed metadata that was last accepted, each as its text. Only `root` must be there to begin with. */
export interface TufMetadata {
  readonly root: string;
  readonly timestamp?: string | undefined;
  readonly snapshot?: string | undefined;
  readonly targets?: string | undefined;
}

export interface FollowOptions {
  /** Address below which the repository's metadata lies, and its targets in `targets/`. */
  readonly mirror: URL;
  /** Where the walk starts, and what must not be rolled back behind. */
  readonly known: TufMetadata;
  /** An empty folder to work in. */
  readonly folder: string;
  /** Milliseconds, for all of it. */
  readonly deadline?: number;
}

export interface Followed {
  readonly metadata: TufMetadata;
  /** The document; it was parsed. */
  readonly trustedRoot: string;
}

/**
 * Follows a Sigstore TUF repository from metadata that is trusted to the trusted root it publishes now. The mirror can withhold, and nothing else:
 * whatever isn't signed by enough of the keys, is older than what was known, or has expired, is refused, and then nothing is returned.
 * Source: https://theupdateframework.github.io/specification/latest/#detailed-client-workflow
 * @throws McpBuildError `tuf-unavailable` (5); `tuf-expired`, `tuf-rollback`, `tuf-too-large`, `tuf-invalid`, `root-invalid`
 */
export async function followRoot(options: FollowOptions): Promise<Followed> {
  const { mirror, known, folder, deadline = DEADLINE } = options;
  // Only who asks for it waits for it to load.
  const { Updater } = await import('tuf-js');
  const base = mirror.href.replace(/\/*$/, '');
  const targets = join(folder, 'targets');
  await makeFolders(targets);
  for (const role of ROLES) {
    const text = known[role];
    if (text !== undefined) await writeFile(join(folder, `${role}.json`), text);
  }
  const fetcher = await fetcherOf(folder, AbortSignal.timeout(deadline));
  try {
    const updater = new Updater({
      metadataDir: folder,
      metadataBaseUrl: base,
      targetDir: targets,
      targetBaseUrl: `${base}/targets`,
      fetcher,
      config: { maxRootRotations: ROTATIONS, maxDelegations: 8 },
    });
    await updater.refresh();
    const target = await updater.getTargetInfo(TARGET);
    if (!target) throw refused(base, 'tuf-invalid', `has no ${TARGET}`);
    const path = await updater.downloadTarget(target, join(targets, TARGET));
    const trustedRoot = await readFile(path, 'utf8');
    parseTrustedRoot(trustedRoot, `${base}/targets/${TARGET}`);
    const [root, timestamp, snapshot, targetsText] = await Promise.all(
      ROLES.map((role) => readFile(join(folder, `${role}.json`), 'utf8')),
    );
    return { metadata: { root: root!, timestamp, snapshot, targets: targetsText }, trustedRoot };
  } catch (error) {
    // The library words some failures of the network anew, without their cause.
    if (fetcher.failure()) throw fetcher.failure();
    if (error instanceof McpBuildError) throw error;
    throw await faultOf(base, error);
  }
}

/** Requests through the user's proxy, each bounded in size, all together in time. */
async function fetcherOf(folder: string, signal: AbortSignal) {
  const { DownloadHTTPError } = await import('tuf-js/dist/error.js');
  const request = { timeout: DEADLINE / 4, retry: { retries: 2, minTimeout: 500 }, follow: 3, signal };
  let failure: McpBuildError | undefined;
  const fail = (fault: McpBuildError): McpBuildError => {
    failure ??= fault;
    return fault;
  };
  const downloadBytes = async (url: string, length: number): Promise<Buffer> => {
    const { default: makeFetch } = await import('make-fetch-happen');
    const limit = Math.min(length, LIMIT);
    try {
      const response = await makeFetch(url, request);
      if (response.status === 404 || response.status === 403) {
        // That there is no newer root is told this way; of any other file it is a failure.
        if (!/\/\d+\.root\.json$/.test(url)) throw fail(unavailable(url, `answers ${response.status}`));
        throw new DownloadHTTPError('absent', response.status);
      }
      if (!response.ok) throw fail(unavailable(url, `answers ${response.status}`));
      const chunks: Buffer[] = [];
      let size = 0;
      for await (const chunk of response.body ?? []) {
        const bytes = Buffer.from(chunk as Uint8Array);
        size += bytes.length;
        if (size > limit) throw fail(refused(url, 'tuf-too-large', `has more than ${limit} bytes`));
        chunks.push(bytes);
      }
      return Buffer.concat(chunks);
    } catch (error) {
      if (error instanceof McpBuildError || error instanceof DownloadHTTPError) throw error;
      throw fail(unavailable(url, `can't be reached: ${error instanceof Error ? error.message : error}`));
    }
  };
  return {
    failure: () => failure,
    downloadBytes,
    downloadFile: async <T>(url: string, length: number, use: (file: string) => Promise<T>): Promise<T> => {
      const file = join(folder, 'download');
      await writeFile(file, await downloadBytes(url, length));
      return use(file);
    },
  };
}

async function faultOf(mirror: string, error: unknown): Promise<McpBuildError> {
  const { BadVersionError, ExpiredMetadataError } = await import('tuf-js/dist/error.js');
  const reason = error instanceof Error ? error.message.replaceAll(/Error: /g, '').slice(0, 300) : 'is not read';
  // Of snapshots and targets the library tells the reason in words only.
  if (error instanceof ExpiredMetadataError || /\.json is expired/.test(reason))
    return refused(mirror, 'tuf-expired', `is refused: ${reason}`);
  if (error instanceof BadVersionError || /is less than current version/.test(reason))
    return refused(mirror, 'tuf-rollback', `is refused: ${reason}`);
  return refused(mirror, 'tuf-invalid', `is refused: ${reason}`);
}

function unavailable(input: string, what: string): McpBuildError {
  return new McpBuildError({
    code: 'tuf-unavailable',
    message: `${input} ${what}`,
    input,
    fix: 'Check the network and the address. What was trusted before still is.',
    exit: 5,
  });
}

function refused(input: string, code: string, what: string): McpBuildError {
  return new McpBuildError({
    code,
    message: `${input} ${what}`,
    input,
    fix: 'Ask whoever runs the repository or its mirror; check this machine’s clock. What was trusted before still is.',
    exit: 3,
  });
}
