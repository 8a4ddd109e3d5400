import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe } from 'vitest';

/** `docker` is a daemon that run.ts found or started, `docker client` the command; `root` the user; `busybox` a static one; anything else is a command on PATH. */
export type Need = 'docker' | 'docker client' | 'root' | 'busybox' | (string & {});

/** The folder outside the checkout that provision.sh fills. */
export function toolCache(environment: NodeJS.ProcessEnv = process.env): string {
  return (
    environment.MCP_BUILD_TEST_CACHE ??
    join(environment.XDG_CACHE_HOME ?? join(environment.HOME ?? '/tmp', '.cache'), 'mcp-build-test')
  );
}

/**
 * Why these tests can't run here, or undefined when all parts are there. With CI=true nothing may be missing.
 * @throws Error with CI=true and a part missing: a green run there means that everything ran.
 */
export function missing(...needs: readonly Need[]): string | undefined {
  for (const need of needs) {
    if (isThere(need)) continue;
    const reason = `${need} is missing: ${reasonFor(need)}`;
    if (process.env.CI === 'true') throw new Error(`${reason}; with CI=true every part is required`);
    return reason;
  }
  return undefined;
}

/** `describe`, or the same skipped with the reason in its name where a part is missing. */
export function describeWith(needs: readonly Need[], name: string, tests: () => void): void {
  const reason = missing(...needs);
  if (reason === undefined) describe(name, tests);
  else describe.skip(`${name} [skipped: ${reason}]`, tests);
}

function isThere(need: Need): boolean {
  if (need === 'docker') return dockerIsThere();
  if (need === 'docker client') return commandPath('docker') !== undefined;
  if (need === 'root') return process.getuid?.() === 0;
  // Images are made of it alone, so the one that needs no library, by its place.
  if (need === 'busybox') return isExecutable('/bin/busybox');
  return commandPath(need) !== undefined;
}

/** One that run.ts found or started; by hand, one that `testDocker` can start. */
function dockerIsThere(): boolean {
  return Boolean(process.env.DOCKER_HOST) || (process.getuid?.() === 0 && commandPath('dockerd') !== undefined);
}

/** Where a command is found: PATH first, then what provision.sh installed, so that a test file run by hand finds it too. */
export function commandPath(command: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), join(toolCache(), 'bin'), '/usr/sbin', '/sbin'];
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, command))
    .find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function reasonFor(need: Need): string {
  try {
    const line = readFileSync(join(toolCache(), 'missing'), 'utf8')
      .split('\n')
      .find((text) => text.startsWith(`${need}\t`));
    if (line) return line.slice(need.length + 1);
  } catch {
    // provision.sh has not run: the test file was started by hand.
  }
  return need === 'docker'
    ? 'no daemon runs; `npm test` starts one as root'
    : 'run `npm test`, which installs it where it can';
}
