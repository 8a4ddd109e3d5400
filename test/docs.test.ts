import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { projectFiles, root } from './e2e/harness/tree.ts';

const pages = projectFiles().filter((file) => file.endsWith('.md') && !file.startsWith('test/fixtures/'));

/** Relative targets of a page's links, without their anchors; code blocks are no prose. */
function linksOf(markdown: string): readonly string[] {
  const prose = markdown.replace(/^```[\s\S]*?^```/gm, '').replace(/`[^`\n]*`/g, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map((match) => match[1] ?? '')
    .filter((target) => !/^(?:[a-z]+:|#)/.test(target))
    .map((target) => target.replace(/#.*$/, ''));
}

describe('the documentation', () => {
  test.each(pages)('%s links only to what is there', (page) => {
    const links = linksOf(readFileSync(join(root, page), 'utf8'));
    expect(links.filter((target) => !existsSync(join(root, dirname(page), target)))).toEqual([]);
  });

  test('docs/README.md names every page', () => {
    const named = linksOf(readFileSync(join(root, 'docs/README.md'), 'utf8'));
    const there = pages.filter((page) => /^docs\/[^/]+\.md$/.test(page) && page !== 'docs/README.md');
    expect([...named].sort()).toEqual(there.map((page) => page.slice('docs/'.length)).sort());
  });

  test.each(['docs/limits.md', 'docs/vetting.md'])('%s names tests that are there for each attack', (page) => {
    const text = readFileSync(join(root, page), 'utf8');
    const [, table = ''] = text.split('## Attacks, and the tests that hold them');
    const rows = (table.split('\n## ')[0] ?? '')
      .split('\n')
      .filter((line) => /^\| [^-]/.test(line))
      .slice(1);
    expect(rows.length).toBeGreaterThan(15);
    for (const row of rows) {
      const tests = [...row.matchAll(/`([^`]+\.test\.ts)`/g)].map((match) => match[1] ?? '');
      expect(tests.length, row).toBeGreaterThan(0);
      expect(
        tests.filter((test) => !existsSync(join(root, 'test', test))),
        row,
      ).toEqual([]);
    }
  });

  test('a link in prose is seen, one in code is not', () => {
    expect(linksOf('[a](a.md#x) `[b](b.md)` [c](https://example.test/)\n```\n[d](d.md)\n```\n')).toEqual(['a.md']);
  });
});
