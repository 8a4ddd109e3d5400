import { describe, expect, test } from 'vitest';
import { normalizeProject } from '../../../builders/index.ts';
import type { Known } from '../../../vetting/audit.ts';
import { checkNames, oneSlip, resembles } from '../../../vetting/origin/names.ts';
import { NEAR_NPM, NEAR_PYPI } from '../../../vetting/origin/popular/near.ts';
import { POPULAR_NPM } from '../../../vetting/origin/popular/npm.ts';
import { POPULAR_PYPI } from '../../../vetting/origin/popular/pypi.ts';
import { npmPackage, wheelPackage } from '../packages.ts';

describe('a name that could be taken for a popular one', () => {
  test.each<['npm' | 'wheel', string, string]>([
    ['npm', 'expres', 'express'],
    ['npm', 'exprses', 'express'],
    ['npm', 'lodahs', 'lodash'],
    ['npm', '@modelcontextprotocl/sdk', '@modelcontextprotocol/sdk'],
    ['npm', 'modelcontextprotocol-sdk', '@modelcontextprotocol/sdk'],
    ['wheel', 'reqeusts', 'requests'],
    ['wheel', 'requestss', 'requests'],
    ['wheel', 'python_dateutl', 'python-dateutil'],
  ])('%s %s is close to %s', (kind, name, popular) => {
    expect(resembles({ kind, name })?.name).toBe(popular);
  });

  test.each<['npm' | 'wheel', string]>([
    ['npm', 'express'],
    ['npm', '@modelcontextprotocol/sdk'],
    ['npm', 'a-name-of-its-own'],
    ['npm', 'ws1'],
    ['wheel', 'requests'],
    ['wheel', 'Python_DateUtil'],
    // Near a popular one, and well known themselves.
    ['npm', 'preact'],
    ['npm', 'jsonschema'],
    ['npm', 'tslint'],
    ['wheel', 'scapy'],
    ['wheel', 'PyAML'],
    // How families of packages are named by their own authors.
    ['wheel', 'python-dateutils'],
  ])('%s %s is close to none but itself', (kind, name) => {
    expect(resembles({ kind, name })).toBeUndefined();
  });

  test('is not that of another popular one, and what looks like a well-known one only is not suspect', () => {
    expect([...NEAR_NPM].filter((name) => POPULAR_NPM.has(name))).toEqual([]);
    expect([...NEAR_PYPI].filter((name) => POPULAR_PYPI.has(name) || name !== normalizeProject(name))).toEqual([]);
    expect(resembles({ kind: 'npm', name: 'preactt' })).toBeUndefined();
    expect(resembles({ kind: 'npm', name: 'reactt' })?.name).toBe('react');
  });

  test('weighs more where a person or the server’s authors typed it', () => {
    const server = npmPackage('my-server', '1.0.0', {}, { server: true, needs: ['npm:expres@1.0.0'] });
    const packages = [server, npmPackage('expres', '1.0.0'), wheelPackage('reqeusts', '1.0.0')];
    expect(checkNames({ packages } as unknown as Known)).toMatchObject([
      { code: 'name-suspect', subject: 'npm:expres@1.0.0', severity: 'high' },
      { code: 'name-suspect', subject: 'pypi:reqeusts@1.0.0', severity: 'low' },
    ]);
  });
});

test.each([
  ['abc', 'abc', false],
  ['abc', 'abd', true],
  ['abc', 'acb', true],
  ['abc', 'abcd', true],
  ['abc', 'bc', true],
  ['abc', 'cba', false],
  ['abc', 'abcde', false],
  ['ab', 'ba', true],
])('%s and %s are one slip apart: %s', (a, b, one) => {
  expect(oneSlip(a, b)).toBe(one);
  expect(oneSlip(b, a)).toBe(one);
});
