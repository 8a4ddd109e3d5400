import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import http from 'node:http';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/** A daemon behind a login on another machine. Plain data, as the reaper has none of the user's variables. */
export interface SshEndpoint {
  readonly kind: 'ssh';
  /** Where OpenSSH's client is. */
  readonly program: string;
  readonly host: string;
  readonly user?: string | undefined;
  readonly port?: number | undefined;
  /** The daemon's socket over there, where it isn't the usual one. */
  readonly path?: string | undefined;
  /** The socket of the user's ssh-agent. */
  readonly agent?: string | undefined;
}

/** In bytes: what ssh has to say about a failure is in its last lines. */
const TAIL = 2_000;

/** What Docker's own command starts: a login that joins its stdin and stdout with the daemon's socket over there. */
export function sshCommand({ host, user, port, path }: SshEndpoint): readonly string[] {
  return [
    ...['-o', 'ConnectTimeout=30', '-T'],
    ...(user === undefined ? [] : ['-l', user]),
    ...(port === undefined ? [] : ['-p', String(port)]),
    ...['--', host, 'docker', ...(path === undefined ? [] : ['--host', `unix://${path}`]), 'system', 'dial-stdio'],
  ];
}

/** Connections to a daemon, each a process of its own, kept and used again as those of any other kind. */
export function sshAgent(endpoint: SshEndpoint): http.Agent {
  // One is enough between requests: each is a process here, and a login over there.
  const agent = new http.Agent({ keepAlive: true, maxFreeSockets: 1 });
  return Object.assign(agent, { createConnection: () => dial(endpoint) });
}

function dial(endpoint: SshEndpoint): Duplex {
  // Loaded where it is used: hardly any daemon is reached so.
  const { spawn } = process.getBuiltinModule('node:child_process');
  const child = spawn(endpoint.program, sshCommand(endpoint), {
    stdio: 'pipe',
    // In a session of its own: an interrupt at the terminal is the server's to hear, and not the connection's end.
    detached: true,
    env: { ...process.env, ...(endpoint.agent === undefined ? {} : { SSH_AUTH_SOCK: endpoint.agent }) },
  });
  return connection(child);
}

/** A process's stdin and stdout as a socket, as far as an HTTP client needs one. */
function connection(child: ChildProcessWithoutNullStreams): Duplex {
  let said = '';
  const { stdin, stdout, stderr } = child;
  const duplex = new Duplex({
    read() {
      stdout.resume();
    },
    write(chunk, _encoding, done) {
      stdin.write(chunk, done);
    },
    final(done) {
      stdin.end(done);
    },
    destroy(error, done) {
      child.kill('SIGKILL');
      done(error);
    },
  });
  const fail = (reason: string) => {
    const words = said.replace(/[\p{Cc}\p{Cf}]+/gu, ' ').trim();
    duplex.destroy(Object.assign(new Error(words ? `${reason}: ${words}` : reason), { code: 'ESSH' }));
  };
  stdout.on('data', (chunk: Buffer) => {
    if (!duplex.push(chunk)) stdout.pause();
  });
  stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString('utf8')).slice(-TAIL);
  });
  // What is written to a login that has ended is answered by its end.
  stdin.on('error', () => undefined);
  child.once('error', (error) => fail(error.message));
  child.once('close', (code, signal) => {
    if (code === 0) duplex.push(null);
    else fail(`ssh ended with ${signal ?? code}`);
  });
  const held = [child, stdin, stdout, stderr] as readonly { ref(): unknown; unref(): unknown }[];
  const self = () => duplex;
  return Object.assign(duplex, {
    setTimeout: self,
    setNoDelay: self,
    setKeepAlive: self,
    ref() {
      for (const part of held) part.ref();
      return duplex;
    },
    unref() {
      for (const part of held) part.unref();
      return duplex;
    },
  } satisfies Partial<Record<keyof Socket, () => Duplex>>);
}
