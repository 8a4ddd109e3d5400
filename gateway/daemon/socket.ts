import { chmod, chown, lstat, rm, stat } from 'node:fs/promises';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { McpBuildError } from '../../errors/index.ts';
import { makeFolders } from '../../files/index.ts';

export type UnixPlace =
  /** Made here, for its owner, and for a group where one is named. */
  | { readonly kind: 'path'; readonly path: string; readonly gid?: number | undefined }
  /** Made by who started this process, as systemd does. */
  | { readonly kind: 'descriptor'; readonly fd: number };

/** The first descriptor that systemd hands over: sd_listen_fds(3). */
const FIRST = 3;

/** The socket that systemd has opened for this very process. @throws McpBuildError `address-unavailable` for more than one */
export function handedOver(environment: Readonly<Record<string, string | undefined>>): UnixPlace | undefined {
  const { LISTEN_PID: pid, LISTEN_FDS: count } = environment;
  if (count === undefined || Number(pid) !== process.pid) return undefined;
  if (count === '1') return { kind: 'descriptor', fd: FIRST };
  throw unavailable('LISTEN_FDS', `${count} sockets were handed over, where one is wanted`);
}

/** @throws McpBuildError `address-unavailable` */
export async function openUnix(server: Server, place: UnixPlace): Promise<void> {
  if (place.kind === 'path') await makeRoom(place.path);
  const input = place.kind === 'path' ? place.path : `descriptor ${place.fd}`;
  // Nobody may connect in between: what is made is made for its owner alone.
  const before = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause: NodeJS.ErrnoException) => reject(unavailable(input, cause.code ?? cause.message)));
      if (place.kind === 'path') server.listen(place.path, () => resolve());
      else server.listen({ fd: place.fd }, () => resolve());
    });
  } finally {
    process.umask(before);
  }
  if (place.kind !== 'path' || place.gid === undefined) return;
  try {
    await chown(place.path, -1, place.gid);
    await chmod(place.path, 0o660);
  } catch (cause) {
    server.close();
    throw unavailable(input, `it can't be given to group ${place.gid}: ${(cause as NodeJS.ErrnoException).code}`);
  }
}

export async function closeUnix(server: Server, place: UnixPlace): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
  if (place.kind === 'path') await rm(place.path, { force: true });
}

/** @throws McpBuildError `address-unavailable` where another daemon listens, or where others could put a socket of their own in its place */
async function makeRoom(path: string): Promise<void> {
  const folder = dirname(path);
  await makeFolders(folder, 0o750);
  const { mode } = await stat(folder);
  if ((mode & 0o002) !== 0) throw unavailable(path, `everybody may write to ${folder}, and could replace it`);
  const found = await lstat(path).catch(() => undefined);
  if (!found) return;
  if (!found.isSocket()) throw unavailable(path, 'something else is there');
  const alive = await new Promise<boolean>((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
  if (alive) throw unavailable(path, 'another daemon listens there');
  await rm(path, { force: true });
}

function unavailable(input: string, why: string): McpBuildError {
  return new McpBuildError({
    code: 'address-unavailable',
    message: `The daemon can't listen on ${input}: ${why}`,
    input,
    fix: 'Name another socket with --socket, in a folder that only its owner may write to.',
  });
}
