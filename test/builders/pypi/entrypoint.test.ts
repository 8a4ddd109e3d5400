import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { chooseScript, isScriptName, readScripts } from '../../../builders/pypi/entrypoint.ts';
import { launcher, rewrittenShebang } from '../../../builders/pypi/script.ts';

const entry = (line: string) => () => readScripts(`[console_scripts]\n${line}\n`, 'x.whl');

describe('entry points', () => {
  test('console and GUI scripts count, other groups do not', () => {
    const text = [
      '# comment',
      '[pytest11]',
      'other = a.b',
      '[console_scripts]',
      'mcp-x = mcp_x.server:main',
      '; comment',
      'mcp-y=mcp_x:Cls.run [cli]',
      '',
      '[gui_scripts]\r',
      'win = mcp_x:gui',
    ].join('\n');
    expect(readScripts(text, 'x.whl')).toEqual([
      { name: 'mcp-x', module: 'mcp_x.server', object: 'main' },
      { name: 'mcp-y', module: 'mcp_x', object: 'Cls.run' },
      { name: 'win', module: 'mcp_x', object: 'gui' },
    ]);
  });

  test.each([
    '../x = a:b',
    'a/b = a:b',
    '.. = a:b',
    '. = a:b',
    '/usr/bin/python3.13 = a:b',
    '-rf = a:b',
    'x\u0000 = a:b',
    ' = a:b',
    'nothing',
    'x = a',
    'x = a:b:c',
    'x = a:b; import os',
    'x = a;os:b',
    'x = a:b()',
    'x = a b:c',
    'x = 1a:b',
    "x = a:b'",
  ])('%j is refused', (line) => {
    expect(entry(line)).toThrowError(expect.objectContaining({ code: 'wheel-invalid' }));
  });

  test('no text makes a launcher that is more than an import and a call', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), (line) => {
        let scripts: ReturnType<typeof readScripts>;
        try {
          scripts = readScripts(`[console_scripts]\n${line}`, 'x.whl');
        } catch {
          return;
        }
        for (const script of scripts) {
          expect(isScriptName(script.name)).toBe(true);
          expect(launcher(script).split('\n')).toHaveLength(7);
          expect(launcher(script)).not.toMatch(/[;'`\\]/);
        }
      }),
    );
  });

  test('the command to start', () => {
    expect(chooseScript('mcp-x', ['other', 'mcp-x'], undefined)).toBe('mcp-x');
    expect(chooseScript('mcp-x', ['other', 'MCP_X'], undefined)).toBe('MCP_X');
    expect(chooseScript('mcp-x', ['start'], undefined)).toBe('start');
    expect(chooseScript('mcp-x', ['a', 'mcp-x'], 'a')).toBe('a');
  });

  test.each([
    [[], undefined, 'not-a-server'],
    [[], 'a', 'not-a-server'],
    [['a', 'b'], undefined, 'bin-ambiguous'],
    [['a', 'mcp-x'], 'b', 'bin-not-found'],
  ] as const)('%j asked for %s is %s', (available, wanted, code) => {
    expect(() => chooseScript('mcp-x', available, wanted)).toThrowError(expect.objectContaining({ code }));
  });

  test('a launcher', () => {
    expect(launcher({ name: 'x', module: 'a.b', object: 'C.run' })).toBe(
      '#!/usr/bin/python3.13\n# -*- coding: utf-8 -*-\nimport sys\nfrom a.b import C\nif __name__ == "__main__":\n    sys.exit(C.run())\n',
    );
  });

  test.each([
    ['#!python\nx', '#!/usr/bin/python3.13\nx'],
    ['#!pythonw\r\nx', '#!/usr/bin/python3.13\r\nx'],
    ['#!python -E\nx', '#!/usr/bin/python3.13 -E\nx'],
    ['#!python', '#!/usr/bin/python3.13'],
  ])('the shebang of %j', (before, after) => {
    const bytes = Buffer.from(before);
    const found = rewrittenShebang(bytes)!;
    expect(Buffer.concat([found.by, bytes.subarray(found.replaced)]).toString()).toBe(after);
  });

  test.each(['#!/bin/sh\n', '#!python3\n', '#!pythonx', 'python', '#! python\n', '\x7fELF'])(
    '%j is left alone',
    (text) => {
      expect(rewrittenShebang(Buffer.from(text))).toBeUndefined();
    },
  );
});
