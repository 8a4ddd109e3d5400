import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { FINDINGS } from '../../vetting/index.ts';

it('docs/vetting.md lists every finding with its severity, and none that there isn’t', async () => {
  const text = await readFile(new URL('../../docs/vetting.md', import.meta.url), 'utf8');
  const listed = [...text.matchAll(/^\| `([a-z-]+)` +\| (\w+) +\|/gm)].map(
    ([, code, severity]) => `${code} ${severity}`,
  );
  expect(listed.sort()).toEqual(
    Object.entries(FINDINGS)
      .map(([code, { severity }]) => `${code} ${severity}`)
      .sort(),
  );
});
