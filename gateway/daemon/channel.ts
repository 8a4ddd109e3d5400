import http from 'node:http';
import type { Socket } from 'node:net';
import type { z } from 'zod';
import { McpBuildError } from '../../errors/index.ts';
import { type Channel, lineWriter, type OpenChannel } from '../upstream/channel.ts';
import {
  type DaemonIncident,
  endSchema,
  faultSchema,
  incidentSchema,
  offeredSchema,
  PROTOCOL,
  unframe,
} from './wire.ts';

/** A daemon that starts verified servers, as a gateway sees it. */
export interface DaemonClient {
  /** Waits until a server is verified and could be started. @returns its image's digest. @throws McpBuildError `daemon-unavailable`, and what the daemon says */
  verified(name: string): Promise<string | undefined>;
  /** A server in a container of its own. */
  channel(name: string, told: Told): OpenChannel;
}

export interface Told {
  /** Of the image that was started. */
  readonly onDigest?: (digest: string) => void;
  readonly onIncident?: (incident: DaemonIncident) => void;
}

/** A first use locks, builds and signs; in milliseconds. */
const PATIENCE = 15 * 60_000;
const ANSWER_LIMIT = 64 * 1024;

export function daemonClient(socketPath: string): DaemonClient {
  return {
    async verified(name) {
      const { status, body } = await ask(socketPath, name);
      const offered = status === 200 ? parse(offeredSchema, body) : undefined;
      if (offered?.name === name) return offered.digest;
      throw faultIn(body, socketPath);
    },
    channel: (name, told) => async (receive) => {
      const { connection, head, digest } = await upgrade(socketPath, name);
      if (digest) told.onDigest?.(digest);
      const ended = Promise.withResolvers<string>();
      connection.on('error', () => undefined);
      const take = unframe((kind, bytes) => {
        if (kind === 'message') return receive(bytes);
        if (kind === 'end') return ended.resolve(parse(endSchema, bytes)?.why ?? 'it ended');
        const incident = parse(incidentSchema, bytes);
        if (incident) told.onIncident?.(incident);
      });
      const onData = (chunk: Buffer) => {
        if (take(chunk)) return;
        ended.resolve('the daemon sent what can’t be understood');
        connection.destroy();
      };
      connection.on('data', onData);
      connection.once('close', () => ended.resolve('the daemon went away'));
      if (head.length > 0) onData(head);
      const channel: Channel = {
        send: lineWriter(connection),
        ended: ended.promise,
        async close() {
          connection.destroy();
        },
      };
      return channel;
    },
  };
}

interface Upgraded {
  readonly connection: Socket;
  readonly head: Buffer;
  readonly digest: string | undefined;
}

function upgrade(socketPath: string, name: string): Promise<Upgraded> {
  return new Promise((resolve, reject) => {
    const request = http.request({
      socketPath,
      path: `/servers/${name}`,
      method: 'POST',
      headers: { connection: 'Upgrade', upgrade: PROTOCOL, 'content-length': 0 },
      timeout: PATIENCE,
      agent: false,
    });
    request.once('upgrade', (response, connection, head) => {
      connection.setTimeout(0);
      const digest = response.headers['digest-of-image'];
      resolve({ connection: connection as Socket, head, digest: typeof digest === 'string' ? digest : undefined });
    });
    request.once('response', (response) => {
      read(response).then((body) => reject(faultIn(body, socketPath)), reject);
    });
    request.once('timeout', () => request.destroy(new Error('it does not answer')));
    request.once('error', (cause) => reject(unavailable(socketPath, cause)));
    request.end();
  });
}

function ask(socketPath: string, name: string): Promise<{ readonly status: number; readonly body: Buffer }> {
  return new Promise((resolve, reject) => {
    const request = http.get({ socketPath, path: `/servers/${name}`, timeout: PATIENCE, agent: false }, (response) => {
      read(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject);
    });
    request.once('timeout', () => request.destroy(new Error('it does not answer')));
    request.once('error', (cause) => reject(unavailable(socketPath, cause)));
  });
}

async function read(response: http.IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > ANSWER_LIMIT) {
      response.destroy();
      break;
    }
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function parse<T>(schema: z.ZodType<T>, bytes: Buffer): T | undefined {
  try {
    return schema.safeParse(JSON.parse(bytes.toString('utf8'))).data;
  } catch {
    return undefined;
  }
}

function faultIn(body: Buffer, socketPath: string): McpBuildError {
  const fault = parse(faultSchema, body);
  if (!fault) return unavailable(socketPath, new Error('its answer can not be understood'));
  const { code, message, fix } = fault;
  return new McpBuildError({ code, message, ...(fix ? { fix } : {}) });
}

function unavailable(socketPath: string, cause: Error): McpBuildError {
  const { code } = cause as NodeJS.ErrnoException;
  return new McpBuildError({
    code: 'daemon-unavailable',
    message: `The daemon that starts servers can't be reached at ${socketPath}: ${code ?? cause.message}`,
    input: socketPath,
    fix:
      code === 'EACCES'
        ? 'Whoever is to use it has to be in the group of that socket.'
        : 'Start it with `mcp-build daemon`.',
    cause,
  });
}
