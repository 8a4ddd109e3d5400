import { spawn } from 'node:child_process';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Dockerd } from './dockerd.ts';
import { missing } from './harness/needs.ts';

const PROGRAM = '/usr/bin/podman';

/** Why Podman can't be tried here. @throws Error with CI=true, as `missing` does */
export function lackingPodman(): string | undefined {
  return missing('busybox', 'root', 'podman', 'catatonit');
}

/** Podman's Docker API on a private socket, with storage of its own. @throws Error with its log when it doesn't come up */
export async function startPodman(): Promise<Dockerd> {
  const folder = await mkdtemp(join(tmpdir(), 'mcp-build-podman-'));
  const socket = join(folder, 'podman.sock');
  const storage = ['--root', join(folder, 'root'), '--runroot', join(folder, 'run'), '--cgroup-manager', 'cgroupfs'];
  const log = await open(join(folder, 'log'), 'w');
  const child = spawn(PROGRAM, [...storage, 'system', 'service', '--time', '0', `unix://${socket}`], {
    stdio: ['ignore', log.fd, log.fd],
    env: { ...process.env, DOCKER_HOST: '' },
  });
  await log.close();
  const exit = new Promise<void>((resolve) => child.once('exit', () => resolve()).once('error', () => resolve()));
  const command = (...args: readonly string[]) =>
    new Promise<void>((resolve) =>
      spawn(PROGRAM, [...storage, ...args], { stdio: 'ignore' })
        .once('exit', () => resolve())
        .once('error', () => resolve()),
    );
  const stop = async () => {
    await command('rm', '--all', '--force', '--time', '0');
    child.kill('SIGTERM');
    await exit;
    await command('system', 'reset', '--force');
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  };
  const deadline = Date.now() + 30_000;
  while (!(await answers(socket))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      const text = await readFile(join(folder, 'log'), 'utf8').catch(() => '');
      await stop();
      throw new Error(`podman did not come up:\n${text.slice(-2000)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const restart = async () => {
    throw new Error('no test restarts Podman: nothing runs in its service');
  };
  return { host: `unix://${socket}`, pid: child.pid ?? 0, stop, restart };
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    http
      .get({ socketPath, path: '/_ping', timeout: 1_000 }, (answer) => {
        answer.resume();
        resolve(answer.statusCode === 200);
      })
      .on('error', () => resolve(false));
  });
}
