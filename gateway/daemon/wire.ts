import { z } from 'zod';
import { LONGEST_MESSAGE } from '../upstream/channel.ts';

/**
 * What the gateway and the daemon say to each other on their socket. A server is asked for by its name, as `POST /servers/<name>` with this upgrade and
 * nothing else; after it the gateway's bytes are lines for the server's stdin, and the daemon's are frames. The end of the connection is the end of the server.
 */
export const PROTOCOL = 'mcp-build-stdio';

/** Part of a path, of a URL and of log lines. */
export const SERVER_NAME = /^[A-Za-z0-9][\w.-]{0,63}$/;

/** Kinds of frames: a server can write the first only, so none of what it says can be taken for another. */
export const FRAME = { message: 1, incident: 2, end: 3 } as const;
export type FrameKind = keyof typeof FRAME;

const HEADER = 5;
/** What isn't a server's message is short. */
const LONGEST_NOTE = 64 * 1024;

/** One byte of kind, four of length, big-endian. */
export function frameHeader(kind: FrameKind, length: number): Buffer {
  const header = Buffer.alloc(HEADER);
  header[0] = FRAME[kind];
  header.writeUInt32BE(length, 1);
  return header;
}

/** Takes a stream of frames apart. @param receive its bytes stay its own. @returns what is to be called with each chunk; false for anything that isn't framed so */
export function unframe(receive: (kind: FrameKind, bytes: Buffer) => void): (chunk: Uint8Array) => boolean {
  const header = Buffer.alloc(HEADER);
  let filled = 0;
  let kind: FrameKind = 'message';
  let body: Buffer | undefined;
  let at = 0;
  return (chunk) => {
    for (let from = 0; from < chunk.length; ) {
      if (!body) {
        const take = Math.min(HEADER - filled, chunk.length - from);
        header.set(chunk.subarray(from, from + take), filled);
        filled += take;
        from += take;
        if (filled < HEADER) continue;
        const found = KINDS.get(header[0] as number);
        const length = header.readUInt32BE(1);
        if (!found || length > (found === 'message' ? LONGEST_MESSAGE : LONGEST_NOTE)) return false;
        kind = found;
        body = Buffer.allocUnsafe(length);
        at = 0;
        filled = 0;
      }
      const take = Math.min(body.length - at, chunk.length - from);
      body.set(chunk.subarray(from, from + take), at);
      at += take;
      from += take;
      if (at < body.length) continue;
      const whole = body;
      body = undefined;
      receive(kind, whole);
    }
    return true;
  };
}

const KINDS: ReadonlyMap<number, FrameKind> = new Map(
  Object.entries(FRAME).map(([kind, number]) => [number, kind as FrameKind] as const),
);

export const faultSchema = z.object({
  code: z.string().max(100),
  message: z.string().max(10_000),
  fix: z.string().max(10_000).optional(),
});

export const endSchema = z.object({ why: z.string().max(10_000) });

export const incidentSchema = z.object({
  kind: z.literal('egress-refused'),
  host: z.string().max(1_000),
  port: z.int().min(0).max(65_535),
});
export type DaemonIncident = z.infer<typeof incidentSchema>;

export const offeredSchema = z.object({
  name: z.string().regex(SERVER_NAME),
  /** Of the image that was verified. */
  digest: z.string().max(200).optional(),
});
