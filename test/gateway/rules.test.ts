import { describe, expect, test } from 'vitest';
import { gate } from '../../gateway/rules.ts';

const tool = (name: string, readOnlyHint: boolean, description = '') => ({
  name,
  description,
  annotations: { readOnlyHint },
});

describe('a name that a server lists twice', () => {
  const lists = [
    [tool('a', true), tool('a', false), tool('b', true)],
    [tool('a', false), tool('a', true), tool('b', true)],
  ];

  test.each(lists.map((list) => [list]))('is let through if both are, in whatever order: %#', (list) => {
    const readOnly = gate({ readOnly: true });
    readOnly.learn(list);
    // A call says only the name: which of the two it would be is the server's to choose.
    expect(readOnly.refuses('a')).toBeDefined();
    expect(readOnly.refuses('b')).toBeUndefined();
    expect(readOnly.sift(list)).toEqual([tool('b', true)]);
  });

  test('by what was signed, too', () => {
    const signed = gate({ readOnly: false }, ({ definition }) =>
      definition.description === 'signed' ? undefined : 'was not signed',
    );
    const other = tool('a', true, 'other');
    signed.learn([other, tool('a', true, 'signed')]);
    expect(signed.refuses('a')).toBeDefined();
    const both = [tool('a', true, 'signed'), tool('a', false, 'signed')];
    signed.learn(both);
    expect(signed.refuses('a')).toBeUndefined();
    expect(signed.sift(both)).toEqual(both);
    expect(signed.sift([other, ...both])).toEqual([]);
  });
});
