import { chmod, chown, mkdir, rm, writeFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { McpBuildError } from '../errors/index.ts';
import type { Endpoint } from './endpoint.ts';
import { imageVariable, type RunImage } from './image.ts';
import type { Launch, PrivateFile } from './spec.ts';

/** Where, in a container, what is private to its run is mounted. */
const INSIDE = '/run/mcp-build';
/** Where a server finds the configuration that it is given as a file: a private copy, whatever the original's place and mode. */
export const CONFIG_FILE = '/config/config.json';
const PYTHON = /(?:^|\/)python[0-9.]*$/;
/** The folder of one run, by which the reaper recognises what it may delete. */
export const PRIVATE_FOLDER = /^mcp-build-[0-9a-f]{16}$/;

/**
 * Where private files of a run are kept while it starts: memory rather than disk, where the daemon sees the same memory; else the state folder.
 */
export function privateParent(
  endpoint: Endpoint,
  environment: Readonly<Record<string, string | undefined>>,
  state: string,
  platform: NodeJS.Platform = process.platform,
): string {
  // A daemon in a virtual machine (Docker Desktop, whose socket is in the home folder) sees the home folder and not /run.
  const own = platform === 'linux' && endpoint.kind === 'unix' && !/\/\.docker\//.test(endpoint.path);
  const runtime = environment.XDG_RUNTIME_DIR;
  if (!own) return state;
  return runtime && isAbsolute(runtime) ? runtime : '/dev/shm';
}

/** Bytes that only the server is to see, and where it looks for them. */
export interface Private {
  readonly target: string;
  readonly content: string | Uint8Array;
}

/**
 * Writes private files for the user the container runs as, and for nobody else: mode 0400 and his where this process may give files away or he is
 * the same, else readable behind a folder that only this user can enter. The folder must be new: nobody can have put a link there.
 */
export async function writePrivate(
  folder: string,
  files: readonly Private[],
  user: { readonly uid: number; readonly gid: number },
  invoker: { readonly uid: number | undefined },
): Promise<readonly PrivateFile[]> {
  await mkdir(folder, { mode: 0o700 });
  const mine = invoker.uid === user.uid;
  const written: PrivateFile[] = [];
  for (const [position, { target, content }] of files.entries()) {
    const source = join(folder, String(position));
    await writeFile(source, content, { flag: 'wx', mode: 0o600 });
    if (invoker.uid === 0) await chown(source, user.uid, user.gid);
    await chmod(source, mine || invoker.uid === 0 ? 0o400 : 0o444);
    written.push({ source, target });
  }
  return written;
}

/** Once the container has started its mounts hold the files, and nothing else needs to. */
export async function removePrivate(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

/**
 * How a server gets its variables without the daemon ever hearing of their values: they are in a private file, and what starts the server reads it
 * before a line of the server runs. Node is asked to load it first; Python reads it and becomes the server.
 * @throws McpBuildError `environment-undeliverable` for an image that starts with neither
 */
export function environmentLaunch(
  image: Pick<RunImage, 'entrypoint' | 'cmd' | 'env' | 'annotations' | 'bridged'>,
  args: readonly string[],
  values: Readonly<Record<string, string>>,
): { readonly launch: Pick<Launch, 'entrypoint' | 'args'>; readonly files: readonly Private[] } {
  const command = args.length > 0 ? args : image.cmd;
  const plain = image.bridged ? { entrypoint: image.entrypoint } : {};
  if (Object.keys(values).length === 0) return { launch: { ...plain, args: command }, files: [] };
  const json = JSON.stringify(values);
  const interpreter = interpreterOf(image);
  if (interpreter?.kind === 'node') {
    const [node = interpreter.program, ...rest] = image.entrypoint;
    const target = `${INSIDE}/environment.cjs`;
    return {
      launch: { entrypoint: [node, '--require', target, ...rest], args: command },
      // U+2028 and U+2029 have been plain characters in JavaScript's strings since 2019, so JSON is JavaScript.
      files: [{ target, content: `'use strict';\nObject.assign(process.env, ${json});\n` }],
    };
  }
  if (interpreter?.kind === 'python') {
    const target = `${INSIDE}/environment.py`;
    return {
      launch: { entrypoint: [interpreter.program, '-I', '-S', target, ...image.entrypoint], args: command },
      files: [{ target, content: pythonLauncher(json) }],
    };
  }
  throw new McpBuildError({
    code: 'environment-undeliverable',
    message: `Variables can't be given to "${image.entrypoint[0] ?? ''}" without showing them to everyone who may use Docker`,
    input: Object.keys(values).join(', '),
    fix: 'They are given to servers that start with Node or Python. Give this one a configuration file instead.',
  });
}

/** Executed in place, so that the server is the same process, and has the variables from its first instruction on. */
function pythonLauncher(json: string): string {
  return [
    'import os, sys',
    `for name, value in __import__("json").loads(${pythonString(json)}).items():`,
    '    os.environ[name] = value',
    'os.execvp(sys.argv[1], sys.argv[1:])',
    '',
  ].join('\n');
}

/** JSON's escapes are a subset of Python's but for surrogate pairs, which only ASCII avoids. */
function pythonString(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

export interface Interpreter {
  readonly kind: 'node' | 'python';
  /** As the image's entrypoint names it, or as PATH finds it. */
  readonly program: string;
}

/** What an image's server is written in, as far as its entrypoint and variables show it. */
export function interpreterOf(image: Pick<RunImage, 'entrypoint' | 'env' | 'annotations'>): Interpreter | undefined {
  const [program = ''] = image.entrypoint;
  if (/(?:^|\/)node$/.test(program)) return { kind: 'node', program };
  if (PYTHON.test(program)) return { kind: 'python', program };
  // A console script: its first line names the interpreter, which can't be seen from here.
  const source = image.annotations['io.mcp-build.source'];
  const python = source?.startsWith('pypi:') || imageVariable(image, 'PYTHONUNBUFFERED') !== undefined;
  return python ? { kind: 'python', program: 'python3' } : undefined;
}
