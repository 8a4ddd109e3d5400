import { readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { projectFiles } from './e2e/harness/tree.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const LEAVES = ['errors', 'digest', 'files'];

/** What a module names in `import … from`, `export … from`, `import '…'` and `import('…')`. */
function importsOf(source: string): readonly string[] {
  const code = source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  const found = new Set<string>();
  for (const pattern of [
    /(?:^|[\s;}])(?:import|export)\s+(?:type\s+)?[\w*{},\s$]*?from\s*['"]([^'"]+)['"]/g,
    /(?:^|[\s;}])import\s*['"]([^'"]+)['"]/g,
    /\bimport\s*\(\s*['"`]([^'"`]+)['"`]/g,
  ]) {
    for (const match of code.matchAll(pattern)) if (match[1]) found.add(match[1]);
  }
  return [...found];
}

/** The table of docs/architecture.md: folder → folders it may import, or 'everything'. */
function parseRules(markdown: string): ReadonlyMap<string, readonly string[] | 'everything'> {
  const rules = new Map<string, readonly string[] | 'everything'>();
  for (const line of markdown.split('\n')) {
    const cells = line.split('|').map((cell) => cell.trim());
    if (cells.length !== 5 || !cells[1]?.startsWith('`')) continue;
    const folders = [...cells[1].matchAll(/`([\w-]+)\/`/g)].map((match) => match[1] ?? '');
    const text = cells[3] ?? '';
    const named = [...text.matchAll(/`([\w-]+)`/g)].map((match) => match[1] ?? '');
    const allowed = text === 'everything' ? text : [...(/\bleaves\b/.test(text) ? LEAVES : []), ...named];
    for (const folder of folders) rules.set(folder, allowed);
  }
  return rules;
}

/** Every sentence says who breaks which rule. */
function violations(
  file: string,
  imports: readonly string[],
  rules: ReadonlyMap<string, readonly string[] | 'everything'>,
  dependencies: ReadonlySet<string>,
): readonly string[] {
  const folder = file.split('/')[0] ?? '';
  const allowed = rules.get(folder);
  if (allowed === undefined) return [`${file}: ${folder}/ has no row in docs/architecture.md`];
  const found: string[] = [];
  for (const specifier of imports) {
    if (!specifier.startsWith('.')) {
      const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
      if (isBuiltin(specifier)) {
        if (!specifier.startsWith('node:')) found.push(`${file} imports ${specifier} without node:`);
      } else if (!dependencies.has(name)) found.push(`${file} imports ${name}, which is no dependency in package.json`);
      continue;
    }
    const target = relative(root, join(root, dirname(file), specifier))
      .split(sep)
      .join('/');
    const to = target.split('/')[0] ?? '';
    if (to === folder) {
      const broken = withinFolder(file, target);
      if (broken) found.push(broken);
      continue;
    }
    if (target === 'package.json' && folder === 'cli') continue;
    if (allowed !== 'everything' && !allowed.includes(to)) found.push(`${file} may not import ${to}/`);
    else if (to === 'test') found.push(`${file} may not import tests`);
    else if (!isDoor(target)) found.push(`${file} imports ${target} past ${to}/index.ts`);
  }
  return found;
}

/** Each part of builders/ has a door of its own, so that a command loads only the ecosystem it needs. */
function isDoor(target: string): boolean {
  return /^[\w-]+\/index\.ts$/.test(target) || /^builders\/[\w-]+\/index\.ts$/.test(target);
}

/** The parts of builders/ show each other only their index; no ecosystem knows another one, nor the base that images stand on. */
function withinFolder(file: string, target: string): string | undefined {
  const [folder, mine, ...rest] = file.split('/');
  const [, theirs, ...inside] = target.split('/');
  // A module right in builders/ belongs to the folder as a whole: it may look into its parts.
  if (folder !== 'builders' || rest.length === 0 || inside.length === 0 || mine === theirs) return undefined;
  if (inside.join('/') !== 'index.ts') return `${file} imports ${target} past builders/${theirs}/index.ts`;
  if (['npm', 'pypi'].includes(mine ?? '') && ['npm', 'pypi', 'debian'].includes(theirs ?? '')) {
    return `${file} may not import builders/${theirs}/`;
  }
  return undefined;
}

const rules = parseRules(readFileSync(join(root, 'docs/architecture.md'), 'utf8'));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  dependencies: Record<string, string>;
};
const dependencies = new Set(Object.keys(manifest.dependencies));

describe('who may import whom', () => {
  const sources = projectFiles().filter(
    (file) => file.endsWith('.ts') && file.includes('/') && !/^(test|\.ci|docs|lockfiles|images)\//.test(file),
  );

  test('every source file keeps the rules', () => {
    expect(sources.length).toBeGreaterThan(10);
    const found = sources.flatMap((file) =>
      violations(file, importsOf(readFileSync(join(root, file), 'utf8')), rules, dependencies),
    );
    expect(found).toEqual([]);
  });

  test('the table of docs/architecture.md is read whole', () => {
    expect(rules.get('digest')).toEqual(expect.arrayContaining(['errors']));
    expect(rules.get('trust')).toEqual([...LEAVES, 'registry']);
    expect(rules.get('cli')).toBe('everything');
    expect(rules.get('builders')).toEqual(LEAVES);
  });

  test('each form of import is seen', () => {
    const source = `
      import a from './a.ts';
      import type { B } from './b.ts';
      import {
        c,
      } from './c.ts';
      import './d.ts';
      export { e } from './e.ts';
      export * from './f.ts';
      const g = await import('./g.ts');
      // import h from './h.ts';
      /* import i from './i.ts'; */
    `;
    expect([...importsOf(source)].sort()).toEqual(['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name) => `./${name}.ts`));
  });

  test.each([
    ['builders/image.ts', '../trust/index.ts'],
    ['builders/image.ts', '../registry/store.ts'],
    ['builders/npm/index.ts', '../pypi/index.ts'],
    ['builders/npm/index.ts', '../archive/tar.ts'],
    ['builders/npm/index.ts', '../debian/index.ts'],
    ['registry/layout.ts', '../builders/index.ts'],
    ['cli/run.ts', '../runner/spec.ts'],
    ['cli/lock.ts', '../builders/npm/resolve.ts'],
    ['runner/spec.ts', '../test/fakes/docker.ts'],
    ['trust/keys.ts', 'left-pad'],
    ['trust/keys.ts', 'fs'],
    ['helpers/index.ts', './a.ts'],
  ])('%s importing %s is refused', (file, specifier) => {
    expect(violations(file, [specifier], rules, dependencies)).toHaveLength(1);
  });

  test.each([
    ['builders/npm/index.ts', '../archive/index.ts'],
    ['builders/npm/resolve.ts', '../adapter.ts'],
    ['builders/npm/resolve.ts', '../../errors/index.ts'],
    ['builders/index.ts', './npm/index.ts'],
    ['builders/layer.ts', './archive/paths.ts'],
    ['builders/debian/update.ts', '../npm/index.ts'],
    ['cli/run.ts', '../runner/index.ts'],
    ['cli/lock.ts', '../builders/npm/index.ts'],
    ['trust/keys.ts', 'node:fs'],
    ['trust/keys.ts', '@sigstore/bundle'],
  ])('%s importing %s is allowed', (file, specifier) => {
    expect(violations(file, [specifier], rules, dependencies)).toEqual([]);
  });
});
