import type { Script } from './entrypoint.ts';
import { PYTHON } from './tags.ts';

const INTERPRETER = `/usr/bin/python${PYTHON.major}.${PYTHON.minor}`;

/** Enough of a script to see its first line. In bytes. */
export const FIRST_LINE = 512;

/** The launcher of a console or GUI script; module and object were checked to be dotted identifiers. */
export function launcher({ module, object }: Script): string {
  const [first = object] = object.split('.');
  return [
    `#!${INTERPRETER}`,
    '# -*- coding: utf-8 -*-',
    'import sys',
    `from ${module} import ${first}`,
    'if __name__ == "__main__":',
    `    sys.exit(${object}())`,
    '',
  ].join('\n');
}

/**
 * What a script of `.data/scripts` begins with once installed, and how many of its bytes that replaces: `#!python` and `#!pythonw`
 * stand for the interpreter it is installed for (binary distribution format, "Recommended installer features").
 */
export function rewrittenShebang(head: Uint8Array): { readonly replaced: number; readonly by: Uint8Array } | undefined {
  const line = /^#!pythonw?([ \t][^\r\n]*)?(?=\r?\n|$)/.exec(
    Buffer.from(head.subarray(0, FIRST_LINE)).toString('latin1'),
  );
  if (!line) return undefined;
  return { replaced: line[0].length, by: Buffer.from(`#!${INTERPRETER}${line[1] ?? ''}`, 'latin1') };
}
