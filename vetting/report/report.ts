import type { Digest } from '../../digest/index.ts';
import type { Contents } from '../content/contents.ts';
import { FINDINGS, type Finding } from '../finding.ts';
import type { Provenance } from '../origin/provenance.ts';
import type { ToolList } from '../tools/check.ts';
import { fileKey, type Package } from '../tree.ts';

/** Everything that a reviewer is shown of one server, or of several together. */
export interface Report {
  readonly name: string;
  /** `npm:name@version` as it was locked. */
  readonly source: string;
  /** Digest of the lock's inputs: what was audited; undefined for what is said of several servers together, or of who signed an image. */
  readonly lock: Digest | undefined;
  readonly findings: readonly Finding[];
  readonly refused: readonly Finding[];
  readonly packages: readonly Package[];
  readonly contents: ReadonlyMap<string, Contents>;
  /** Why archives could not be had, by `fileKey`. */
  readonly unfetched: ReadonlyMap<string, string>;
  readonly provenance: ReadonlyMap<string, Provenance> | undefined;
  readonly tools: ToolList | undefined;
  /** What was compared with, and of when. */
  readonly advisories: { readonly from: string; readonly collected: ReadonlyMap<string, Date> } | undefined;
  /** The policy by its file; undefined for the defaults. */
  readonly policy: string | undefined;
  readonly now: Date;
  /** Version of mcp-build. */
  readonly version: string;
}

export function titleOf({ code }: Finding): string {
  return FINDINGS[code].title;
}

/** One line on how old the advisories are. */
export function ageOf({ advisories }: Pick<Report, 'advisories'>): string {
  if (!advisories) return 'no advisories were compared with';
  const dates = [...advisories.collected].map(([name, date]) => `${name} of ${date.toISOString().slice(0, 10)}`);
  return `advisories from ${advisories.from}: ${dates.join(', ')}`;
}

/** The packages whose archives nobody has read, by `ref`: whatever a policy makes of that, they have not passed. */
export function unreadOf({ packages, unfetched }: Pick<Report, 'packages' | 'unfetched'>): readonly string[] {
  return packages.filter(({ files }) => files.some((file) => unfetched.has(fileKey(file)))).map(({ ref }) => ref);
}

/** `1 package was not read`. */
export function unreadLine(unread: readonly string[]): string {
  return unread.length === 1 ? '1 package was not read' : `${unread.length} packages were not read`;
}
