import { spawnSync } from 'node:child_process';

/** Whether this machine has a program that a test can't do without. */
export function hasProgram(name: string): boolean {
  return spawnSync(name, ['version'], { stdio: 'ignore' }).error === undefined;
}
