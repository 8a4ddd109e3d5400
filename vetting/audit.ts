import type { Lock } from '../builders/index.ts';
import { DEFAULT_VETTING, type VettingRules } from '../trust/index.ts';
import type { Advisories } from './advisories/advisories.ts';
import { checkAdvisories } from './advisories/check.ts';
import { checkContents } from './content/check.ts';
import type { Contents } from './content/contents.ts';
import { type Finding, sorted } from './finding.ts';
import { checkAge } from './origin/age.ts';
import { checkClaim } from './origin/claim.ts';
import { checkListings, type Listing } from './origin/listing.ts';
import { checkMaintainers } from './origin/maintainers.ts';
import { checkNames } from './origin/names.ts';
import { checkProvenance, type Provenance } from './origin/provenance.ts';
import { checkSources } from './origin/sources.ts';
import { checkDrift, checkTools, type Examinations, type ToolList } from './tools/check.ts';
import { type Package, packagesOf, pathsOf } from './tree.ts';

/** Everything an audit looks at, as plain values: it asks nobody and reads no file. What could not be had is absent, and is said to be. */
export interface AuditInput {
  readonly lock: Lock;
  /** Native lock files by name. */
  readonly native: Readonly<Record<string, string>>;
  /** What the archives hold, by `fileKey`. */
  readonly contents: ReadonlyMap<string, Contents>;
  /** That archives which are not in `contents` were left for later on purpose, and not because they couldn't be read. */
  readonly deferred?: boolean | undefined;
  /** Why archives that were wanted could not be had, by `fileKey`. */
  readonly unfetched?: ReadonlyMap<string, string> | undefined;
  /** What the indexes say today, by `ref`; undefined where nobody was asked. */
  readonly listings?: ReadonlyMap<string, Listing> | undefined;
  /** What is said, signed, of where packages were built, by `ref`. */
  readonly provenance?: ReadonlyMap<string, Provenance> | undefined;
  readonly advisories?: Advisories | undefined;
  /** What the server was seen to offer. */
  readonly tools?: ToolList | undefined;
  /** What was examined of such offers before: taken as it is, and added to. Weighing a text takes long. */
  readonly examinations?: Examinations | undefined;
  /** What it was signed with, or offered before. */
  readonly earlierTools?: ToolList | undefined;
  /** The lock that this one follows, read the same way. */
  readonly previous?:
    | {
        readonly packages: readonly Package[];
        readonly contents: ReadonlyMap<string, Contents>;
        /** What the indexes say today of those that were changed since; undefined where nobody was asked. */
        readonly listings?: ReadonlyMap<string, Listing> | undefined;
      }
    | undefined;
  readonly rules?: VettingRules | undefined;
  readonly now: Date;
}

/** Pure but for `examinations`: every check of a lock. What a policy makes of the findings is `decide`'s. */
export function audit(input: AuditInput): readonly Finding[] {
  const packages = packagesOf(input.lock, input.native, input.contents);
  const paths = pathsOf(packages);
  const rules = input.rules ?? DEFAULT_VETTING;
  const known = { ...input, packages, rules };
  const found = [
    ...checkAge(known),
    ...checkSources(known),
    ...checkListings(known),
    ...checkProvenance(known),
    ...checkMaintainers(known),
    ...checkNames(known),
    ...checkClaim(known),
    ...checkContents(known),
    ...checkAdvisories(known),
    ...checkTools(known),
    ...checkDrift(known),
  ];
  return sorted(
    found.map((one) => {
      const path = paths.get(one.subject);
      return path === undefined || path.length < 2 || one.path ? one : { ...one, path };
    }),
  );
}

/** What each check of a lock is given. */
export interface Known extends Omit<AuditInput, 'rules'> {
  readonly packages: readonly Package[];
  readonly rules: VettingRules;
}
