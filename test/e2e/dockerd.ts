import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Dockerd {
  /** For DOCKER_HOST. */
  readonly host: string;
  readonly pid: number;
  /**
   * Ends the daemon and starts it again on the same data; with SIGTERM, as by default, it takes its containers along. Not the one of DOCKER_HOST.
   * @returns whether it did
   */
  restart(signal?: 'SIGTERM' | 'SIGKILL'): Promise<boolean>;
  /** Ends the daemon, its containers and its folder. */
  stop(): Promise<void>;
}

const START_TIMEOUT = 60_000;
const STOP_TIMEOUT = 30_000;

/**
 * The daemon that tests use: the one of DOCKER_HOST where there is one, else a private one that the caller stops.
 * @throws Error where there is neither a daemon nor what it takes to start one
 */
export async function testDocker(): Promise<Dockerd> {
  const given = process.env.DOCKER_HOST;
  if (given) return { host: given, pid: 0, restart: async () => false, stop: async () => undefined };
  return startDockerd();
}

/**
 * A Docker daemon of its own, in a new temporary folder, on a private socket. Needs root and the `dockerd` of the distribution.
 * @throws Error with the end of the daemon's log when it doesn't come up
 */
export async function startDockerd(): Promise<Dockerd> {
  const program = ['/usr/bin/dockerd', '/usr/sbin/dockerd', '/usr/local/bin/dockerd'].find((path) => existsSync(path));
  if (!program) throw new Error('dockerd is not installed');
  if (process.getuid?.() !== 0) throw new Error('only root can start dockerd');
  const folder = await mkdtemp(join(tmpdir(), 'mcp-build-dockerd-'));
  const socket = join(folder, 'docker.sock');
  const log = await open(join(folder, 'log'), 'w');
  const arguments_ = [
    ...['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec'), '--pidfile', join(folder, 'pid')],
    ...['--host', `unix://${socket}`, '--ip6tables=false'],
  ];
  let ended = false;
  let exit: Promise<void>;
  const launch = () => {
    ended = false;
    const child = spawn(program, arguments_, {
      stdio: ['ignore', log.fd, log.fd],
      detached: true,
      env: { ...process.env, DOCKER_HOST: '' },
    });
    exit = new Promise<void>((resolve) => {
      const onEnd = () => {
        ended = true;
        resolve();
      };
      child.once('exit', onEnd).once('error', onEnd);
    });
    return child.pid ?? 0;
  };
  let pid = launch();
  // So that a test run that was killed doesn't leave a daemon: exit handlers run on every ordinary end.
  const onExit = () => {
    if (!ended) process.kill(pid, 'SIGTERM');
  };
  process.once('exit', onExit);
  const stop = async () => {
    process.off('exit', onExit);
    if (!ended) process.kill(pid, 'SIGTERM');
    const timer = setTimeout(() => !ended && process.kill(pid, 'SIGKILL'), STOP_TIMEOUT);
    await exit;
    clearTimeout(timer);
    await log.close();
    // What is left mounted keeps the folder: a daemon that was killed no longer knows that it has mounted its data onto itself, and one that
    // ends in time may leave the name spaces of networks.
    for (const path of mountedBelow(folder)) spawnSync('umount', ['--lazy', path]);
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  };

  const up = async () => {
    const deadline = Date.now() + START_TIMEOUT;
    while (!(await answers(socket))) {
      if (ended || Date.now() > deadline) {
        const text = await readFile(join(folder, 'log'), 'utf8').catch(() => '');
        await stop();
        throw new Error(`dockerd did not come up:\n${text.slice(-2000)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  await up();
  const restart = async (signal: NodeJS.Signals = 'SIGTERM') => {
    const containerd = Number(await readFile(join(folder, 'exec/containerd/containerd.pid'), 'utf8').catch(() => '0'));
    process.kill(pid, signal);
    await exit;
    // It goes with dockerd, but not at the same moment; a dockerd that still sees it relies on it, and never comes up.
    const deadline = Date.now() + STOP_TIMEOUT;
    while (containerd > 0 && existsSync(`/proc/${containerd}`) && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    pid = launch();
    await up();
    return true;
  };
  return {
    host: `unix://${socket}`,
    get pid() {
      return pid;
    },
    restart,
    stop,
  };
}

/** The innermost first. */
function mountedBelow(folder: string): readonly string[] {
  const places = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '');
  return places.filter((path) => path.startsWith(`${folder}/`)).reverse();
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    http
      .get({ socketPath, path: '/_ping', timeout: 1_000 }, (answer) => {
        answer.resume();
        resolve(answer.statusCode === 200);
      })
      .on('timeout', function (this: http.ClientRequest) {
        this.destroy();
      })
      .on('error', () => resolve(false));
  });
}
