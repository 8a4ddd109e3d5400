import { posix } from 'node:path';
import { TAG } from './interpreter.ts';

/** Which modules get byte-code. Changing it changes images: it belongs to the version of the transform. */

const LIBRARY = 'usr/lib/python3.13/';
const PACKAGES = 'usr/local/lib/python3.13/dist-packages/';

/** Larger sources are left out, like those that don't compile. In bytes. */
export const SOURCE_LIMIT = 8 * 1024 * 1024;

/** Of the standard library: what is for people at a terminal, for tests, for mail boxes, or the slow twin of what the interpreter has built in. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  ...[
    '__phello__',
    '_pyrepl',
    'antigravity',
    'bdb',
    'cProfile',
    'cmd',
    'code',
    'codeop',
    'curses',
    'doctest',
    'ensurepip',
  ],
  ...[
    'idlelib',
    'lib2to3',
    'modulefinder',
    'pdb',
    'pickletools',
    'profile',
    'pstats',
    'pty',
    'pyclbr',
    'pydoc',
    'pydoc_data',
  ],
  ...[
    'rlcompleter',
    'sre_compile',
    'sre_constants',
    'sre_parse',
    'tabnanny',
    'test',
    'this',
    'timeit',
    'tkinter',
    'trace',
  ],
  ...['turtle', 'turtledemo', 'unittest', 'venv', 'webbrowser', 'zipapp'],
  ...['_aix_support', '_android_support', '_apple_support', '_ios_support', '_osx_support', '_py_abc', '_pydatetime'],
  ...['_pydecimal', '_pyio', 'ftplib', 'imaplib', 'mailbox', 'poplib', 'wsgiref', 'xmlrpc'],
  // Frozen into the interpreter.
  ...[
    '_collections_abc',
    '_sitebuiltins',
    'abc',
    'codecs',
    'genericpath',
    'io',
    'ntpath',
    'os',
    'posixpath',
    'runpy',
    'site',
  ],
  ...[
    'stat',
    'zipimport',
    'importlib/_bootstrap',
    'importlib/_bootstrap_external',
    'importlib/machinery',
    'importlib/util',
  ],
]);

/** The settings that the interpreter was built with: different on each platform, where all else is the same. */
const SETTINGS = /^_sysconfigdata_/;

/** The encodings that servers meet every day; the other hundred are loaded when a text asks for one. */
const ENCODINGS = /^encodings\/(?:__init__|aliases|ascii|cp1252|cp437|idna|latin_1|punycode|utf_.*)$/;

const TESTS = /(?:^|\/)(?:_?tests?|testing|testsuite|conftest|test_[^/]*)(?:\/|$)/;
const SEGMENT = /^[\p{ID_Start}_][\p{ID_Continue}]*$/u;

/** Where the byte-code of a file goes; undefined for what is no module, or not worth its bytes. */
export function bytecodePath(path: string): string | undefined {
  if (!path.endsWith('.py')) return undefined;
  const inLibrary = path.startsWith(LIBRARY);
  if (!inLibrary && !path.startsWith(PACKAGES)) return undefined;
  const module = path.slice((inLibrary ? LIBRARY : PACKAGES).length, -'.py'.length);
  if (!module.split('/').every((segment) => SEGMENT.test(segment))) return undefined;
  if (inLibrary) {
    const [top = ''] = module.split('/');
    if (LEFT_OUT.has(top) || LEFT_OUT.has(module) || SETTINGS.test(top)) return undefined;
    if (top === 'encodings' && !ENCODINGS.test(module)) return undefined;
  } else if (TESTS.test(module)) return undefined;
  return posix.join(posix.dirname(path), '__pycache__', `${posix.basename(path, '.py')}.${TAG}.pyc`);
}
