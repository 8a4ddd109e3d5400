import type { Package } from '../tree.ts';
import type { Match } from './record.ts';

/** Advisories as an audit asks them: whatever they were read from has been read by then. */
export interface Advisories {
  matching(one: Pick<Package, 'kind' | 'name' | 'version' | 'files'>): readonly Match[];
  /** When what they say was collected, by ecosystem; undefined where it was never. */
  readonly collected: ReadonlyMap<'npm' | 'PyPI' | 'Debian', Date>;
  /** How they were had, for the report. */
  readonly from: string;
  /** Records that could not be read: they may have been about anything. */
  readonly unread: number;
}
