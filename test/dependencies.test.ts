import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root } from './e2e/harness/tree.ts';

interface Locked {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
}

const json = <T>(file: string) => JSON.parse(readFileSync(join(root, file), 'utf8')) as T;
const manifest = json<{ dependencies: Record<string, string>; devDependencies: Record<string, string> }>(
  'package.json',
);
const provision = json<{ optionalDependencies: Record<string, string> }>('test/provision/package.json');
const lock = json<{ lockfileVersion: number; packages: Record<string, Locked> }>('package-lock.json');
const page = readFileSync(join(root, 'docs/dependencies.md'), 'utf8');

const direct = { ...manifest.dependencies, ...manifest.devDependencies, ...provision.optionalDependencies };

/** First cell → second cell of every table row whose first cell is code. */
const rows = new Map(
  page
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .filter((cells) => cells.length > 3 && /^`[^`]+`$/.test(cells[1] ?? ''))
    .map((cells) => [cells[1]?.slice(1, -1) ?? '', cells] as const),
);

describe('dependencies', () => {
  test.each(Object.entries(direct))('%s is pinned exactly, to %s', (name, version) => {
    expect(version).toMatch(/^\d+\.\d+\.\d+(-[\w.]+)?$/);
    expect(lock.packages[`node_modules/${name}`]?.version).toBe(version);
  });

  test('each has a row with its version and reason in docs/dependencies.md, and none has that is gone', () => {
    const tools = ['provision.sh'];
    expect([...rows.keys()].filter((name) => !tools.includes(name)).sort()).toEqual(Object.keys(direct).sort());
    for (const [name, cells] of rows) {
      expect(cells[2], name).toBe(direct[name]);
      expect(cells[3]?.length, `${name} needs a reason`).toBeGreaterThan(20);
    }
  });

  test('the lock names no host', () => {
    expect(lock.lockfileVersion).toBe(3);
    const withHost = Object.entries(lock.packages).filter(([, { resolved, link }]) => resolved !== undefined && !link);
    expect(withHost.map(([path]) => path)).toEqual([]);
  });

  test('every locked package has a strong integrity', () => {
    const weak = Object.entries(lock.packages).filter(
      ([path, { integrity, link }]) => path.includes('node_modules/') && !link && !integrity?.startsWith('sha512-'),
    );
    expect(weak.map(([path]) => path)).toEqual([]);
  });

  test('every package with an install script is named with the reason why it need not run', () => {
    const scripted = Object.entries(lock.packages)
      .filter(([, { hasInstallScript }]) => hasInstallScript)
      .map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length));
    const section = /## Install scripts\n([\s\S]*?)(?:\n## |$)/.exec(page)?.[1] ?? '';
    const named = [...section.matchAll(/^- `([^`]+)`: \S/gm)].map((match) => match[1] ?? '');
    expect([...new Set(scripted)].sort()).toEqual(named.sort());
    expect(readFileSync(join(root, '.npmrc'), 'utf8')).toMatch(/^ignore-scripts=true$/m);
  });
});
