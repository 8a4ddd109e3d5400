import { createHash, randomBytes } from 'node:crypto';
import net from 'node:net';
import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { relay } from '../../runner/relay.ts';

const servers: net.Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function serve(onConnection: (socket: net.Socket) => void): Promise<number> {
  const server = net.createServer(onConnection);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as net.AddressInfo).port;
}

function reach(port: number) {
  const direction = relay();
  const from = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, onread: direction.onread });
  return { from, into: (to: Writable) => direction.into(from, to) };
}

/** What arrives, through a writer that takes its time now and then; it keeps no chunk, as its memory is not its own. */
function collector(slow: boolean) {
  const digest = createHash('sha256');
  let size = 0;
  const { promise: whole, resolve } = Promise.withResolvers<{ size: number; digest: string }>();
  const to = new Writable({
    write(chunk: Buffer, _encoding, done) {
      const take = () => {
        digest.update(chunk);
        size += chunk.length;
        done();
      };
      if (slow && chunk[0]! < 64) setImmediate(take);
      else take();
    },
    final(done) {
      resolve({ size, digest: digest.digest('hex') });
      done();
    },
  });
  return { to, whole };
}

test.each([false, true])(
  'passes every byte on, in order, and then the end (a reader that is slow: %s)',
  async (slow) => {
    const bytes = randomBytes(16 * 1024 * 1024);
    const { from, into } = reach(await serve((socket) => socket.end(bytes)));
    const { to, whole } = collector(slow);
    into(to);
    expect(await whole).toEqual({ size: bytes.length, digest: createHash('sha256').update(bytes).digest('hex') });
    from.destroy();
  },
);

test('keeps what came before it was known where it goes', async () => {
  const { from, into } = reach(await serve((socket) => socket.end('220 I speak first\r\n')));
  await new Promise((resolve) => from.once('connect', resolve));
  await sleep(100);
  const { to, whole } = collector(false);
  into(to);
  expect((await whole).size).toBe(19);
  from.destroy();
});

test('reads no further than what is taken', async () => {
  let sent = 0;
  const chunk = Buffer.alloc(1 << 20);
  const port = await serve((socket) => {
    socket.on('error', () => undefined);
    const go = () => {
      while (sent < 256 && socket.write(chunk)) sent += 1;
      if (sent < 256) socket.once('drain', go);
    };
    go();
  });
  const { from, into } = reach(port);
  let first: (() => void) | undefined;
  let taken = 0;
  const to = new Writable({
    write(bytes: Buffer, _encoding, done) {
      taken += bytes.length;
      first = done;
    },
  });
  into(to);
  while (!first) await sleep(10);
  await sleep(200);
  expect(taken).toBeLessThanOrEqual(64 * 1024);
  // What the system itself holds for a connection is some megabytes.
  expect(sent).toBeLessThan(64);
  from.destroy();
});
