import { describe, expect, test } from 'vitest';
import { CARE, careFor } from '../../../builders/bytecode/driver.ts';
import { bytecodePath } from '../../../builders/bytecode/selection.ts';

const SITE = 'usr/local/lib/python3.13/dist-packages';
const LIBRARY = 'usr/lib/python3.13';

describe('which files get byte-code', () => {
  test.each([
    [`${SITE}/pkg/__init__.py`, `${SITE}/pkg/__pycache__/__init__.cpython-313.pyc`],
    [`${SITE}/six.py`, `${SITE}/__pycache__/six.cpython-313.pyc`],
    [`${SITE}/größe/maß.py`, `${SITE}/größe/__pycache__/maß.cpython-313.pyc`],
    [`${SITE}/pytest_plugin/latest.py`, `${SITE}/pytest_plugin/__pycache__/latest.cpython-313.pyc`],
    [`${LIBRARY}/json/decoder.py`, `${LIBRARY}/json/__pycache__/decoder.cpython-313.pyc`],
    [`${LIBRARY}/encodings/utf_8.py`, `${LIBRARY}/encodings/__pycache__/utf_8.cpython-313.pyc`],
    // Only at the top: these are other packages' own modules.
    [`${SITE}/turtle.py`, `${SITE}/__pycache__/turtle.cpython-313.pyc`],
    [`${LIBRARY}/logging/config.py`, `${LIBRARY}/logging/__pycache__/config.cpython-313.pyc`],
  ])('%s does', (path, expected) => {
    expect(bytecodePath(path)).toBe(expected);
  });

  test.each([
    'usr/local/bin/tool.py',
    'etc/python3.13/sitecustomize.py',
    `${SITE}/pkg/data.txt`,
    `${SITE}/pkg/template-name.py`,
    `${SITE}/pkg-1.0.dist-info/hook.py`,
    `${SITE}/pkg/tests/test_it.py`,
    `${SITE}/pkg/test_it.py`,
    `${SITE}/pkg/conftest.py`,
    `${LIBRARY}/turtle.py`,
    `${LIBRARY}/test/support/__init__.py`,
    `${LIBRARY}/encodings/cp037.py`,
    `${LIBRARY}/importlib/_bootstrap.py`,
    `${LIBRARY}/os.py`,
    // Different on each platform, where the byte-code of all others is the same.
    `${LIBRARY}/_sysconfigdata__x86_64-linux-gnu.py`,
  ])('%s does not', (path) => {
    expect(bytecodePath(path)).toBeUndefined();
  });
});

describe('which sources are compiled with care', () => {
  const of = (text: string) => careFor(Buffer.from(text));

  test.each([
    'x = 1\n',
    'def f(**kwargs): return g(**kwargs)\n',
    'x = y ** z\n',
    'x = y ** n2\n',
    // Not in the first two lines, where alone it counts (PEP 263).
    '\n\n# coding: latin-1\n',
  ])('%j has a trace-free compilation', (text) => {
    expect(of(text)).toBe(CARE.none);
  });

  test.each([
    'x = "é"\n',
    '# coding: latin-1\n',
    '#!/usr/bin/python\n# -*- coding=cp1252 -*-\n',
    '\r# coding: utf-8\r',
    '\r\n# coding: utf-8',
    'x = "\\N{DASH}"\n',
  ])('%j may load modules', (text) => {
    expect(of(text)).toBe(CARE.alone);
  });

  test.each([
    'x = 2 ** 0.5\n',
    'x = 10 **\\\n  -3\n',
    'x = (10 ** # why\n (-3))\n',
    'x = 2**(-(0.5))\n',
    'x = (1 + 2j) * 3.1j\n',
    'x = 3.J / 2\n',
    'x = "é", 2 ** .5\n',
  ])('%j may be rounded', (text) => {
    expect(of(text)).toBe(CARE.exact);
  });

  test.each([
    ['signs', `${'**'.repeat(200_000)}${'('.repeat(400_000)}`],
    ['one line', 'x'.repeat(1_000_000)],
    ['comments', '**#'.repeat(300_000)],
    ['powers of nothing', `${'** ('.repeat(200_000)}`],
    ['lines', '\n'.repeat(1_000_000)],
    ['digits', '1'.repeat(1_000_000)],
  ])('a long run of %s takes no longer than any other text', (_, text) => {
    const before = performance.now();
    of(text);
    expect(performance.now() - before).toBeLessThan(20_000);
  });
});
