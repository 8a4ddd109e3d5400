import { type Integrity, integrityFromHex } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import type { FetchOptions } from '../adapter.ts';
import { eachAsked } from '../asking.ts';
import type { WheelArtifact } from '../lock.ts';
import { normalizeProject } from '../source.ts';
import { sessionFor } from './fetch.ts';
import type { ListedFile } from './simple.ts';

/** What the user's indexes say today of one locked wheel. */
export type WheelListing =
  | { readonly state: 'unreachable'; readonly error: McpBuildError }
  | { readonly state: 'gone' }
  | {
      readonly state: 'listed';
      readonly hashes: readonly Integrity[];
      readonly uploaded: string | undefined;
      /** PEP 592: the reason, empty where none is given. */
      readonly yanked: string | undefined;
      /** Where its PEP 740 provenance is, as the index says. */
      readonly provenance: string | undefined;
      /** A file of an earlier release that has provenance, the newest such. */
      readonly attestedBefore:
        | { readonly file: string; readonly provenance: string; readonly sha256: string }
        | undefined;
    };

/** Each locked wheel with what the first index that knows its name says; an index that can't be asked is an answer, too. */
export async function listWheels(
  artifacts: readonly WheelArtifact[],
  options: FetchOptions,
): Promise<ReadonlyMap<WheelArtifact, WheelListing>> {
  const session = await sessionFor(options);
  const { indexes } = session.client.configuration;
  const listingOf = async (artifact: WheelArtifact): Promise<WheelListing> => {
    let failure: McpBuildError | undefined;
    // The index that the lock names first: another one may have the name for something else.
    for (const index of [...indexes].sort(
      (a, b) => Number(b.name === artifact.index) - Number(a.name === artifact.index),
    )) {
      try {
        const files = await session.files(index, normalizeProject(artifact.name), options.signal);
        const own = files?.filter(({ file }) => file === artifact.file) ?? [];
        const [first] = own;
        if (files && first) return describe(first, own, files);
      } catch (error) {
        if (!(error instanceof McpBuildError)) throw error;
        failure ??= error;
      }
    }
    return failure ? { state: 'unreachable', error: failure } : { state: 'gone' };
  };
  return eachAsked(artifacts, listingOf);
}

function describe(first: ListedFile, own: readonly ListedFile[], files: readonly ListedFile[]): WheelListing {
  const at = Date.parse(first.uploaded ?? '');
  const [before] = files
    .filter(
      ({ file, provenance, sha256, uploaded }) =>
        provenance && sha256 && file !== first.file && Date.parse(uploaded ?? '') < at - 3_600_000,
    )
    .sort((a, b) => Date.parse(b.uploaded ?? '') - Date.parse(a.uploaded ?? ''));
  return {
    state: 'listed',
    hashes: own.flatMap(({ sha256 }) => (sha256 === undefined ? [] : [integrityFromHex('sha256', sha256)])),
    uploaded: first.uploaded,
    yanked: first.yanked,
    provenance: first.provenance,
    attestedBefore:
      before?.provenance && before.sha256
        ? { file: before.file, provenance: before.provenance, sha256: before.sha256 }
        : undefined,
  };
}
