import { expect, it } from 'vitest';
import { DEFAULT_VETTING } from '../../../trust/index.ts';
import type { Listing } from '../../../vetting/index.ts';
import { checkMaintainers } from '../../../vetting/origin/maintainers.ts';
import { lock } from '../../builders/sample-lock.ts';
import { npmPackage } from '../packages.ts';

interface People {
  readonly maintainers?: readonly string[];
  readonly publisher?: string;
}

const listed = (people: People): Listing => ({ state: 'listed', hashes: new Map(), ...people });
function found(before: People | undefined, now: People, version = '2.0.0') {
  const [was, is] = [npmPackage('a', '1.0.0'), npmPackage('a', version)];
  return checkMaintainers({
    lock,
    native: {},
    contents: new Map(),
    packages: [is],
    listings: new Map([[is.ref, listed(now)]]),
    previous: {
      packages: [was],
      contents: new Map(),
      listings: new Map(before ? [[was.ref, listed(before)]] : []),
    },
    rules: DEFAULT_VETTING,
    now: new Date(),
  }).map(({ severity, message }) => `${severity}: ${message}`);
}

it('is nobody where the same people publish, or fewer', () => {
  expect(found({ maintainers: ['ann', 'bob'] }, { maintainers: ['ann'], publisher: 'ann' })).toEqual([]);
  // Published by a workflow's own identity.
  expect(found({ maintainers: ['ann'], publisher: 'ann' }, { maintainers: ['ann'] })).toEqual([]);
  // Whoever published the version before may have been taken from the list since.
  expect(found({ maintainers: ['ann'], publisher: 'bob' }, { maintainers: ['ann'], publisher: 'bob' })).toEqual([]);
});

it('is told, and louder where it is who published the version', () => {
  expect(found({ maintainers: ['ann'] }, { maintainers: ['ann', 'eve'], publisher: 'ann' })).toEqual([
    'low: New maintainers since 1.0.0: eve',
  ]);
  expect(found({ maintainers: ['ann'] }, { maintainers: ['ann', 'eve', 'mal'], publisher: 'eve' })).toEqual([
    'medium: Published by eve, who did not maintain 1.0.0; new besides: mal',
  ]);
});

it('is nobody where the index doesn’t say, or nothing was replaced', () => {
  expect(found(undefined, { maintainers: ['eve'], publisher: 'eve' })).toEqual([]);
  expect(found({}, { maintainers: ['eve'], publisher: 'eve' })).toEqual([]);
  expect(found({ maintainers: ['ann'] }, {})).toEqual([]);
  expect(found({ maintainers: ['ann'] }, { maintainers: ['eve'], publisher: 'eve' }, '1.0.0')).toEqual([]);
});

it('tells a few of many, without what could be more than a name', () => {
  const many = Array.from({ length: 30 }, (_, at) => `m${at}`);
  const [text = ''] = found({ maintainers: ['ann'] }, { maintainers: [...many, 'x'], publisher: 'ann' });
  expect(text).toMatch(/m9, and 21 more$/);
  expect(found({ maintainers: ['ann'] }, { maintainers: ['e\u202eve'], publisher: 'ann' })[0]).not.toContain('\u202e');
});
