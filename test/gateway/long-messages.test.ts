import { once } from 'node:events';
import http from 'node:http';
import { Writable } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { lineWriter, type OpenChannel } from '../../gateway/index.ts';
import { runGateway, until } from './gateway.ts';

test('lines of any length reach a server in order and whole, though it reads slowly', async () => {
  let read = '';
  const slow = new Writable({
    highWaterMark: 1,
    write(chunk: Buffer, _encoding, done) {
      // What is written may be read only now: its memory is not to be used again before.
      setTimeout(() => {
        read += chunk.toString();
        done();
      }, 2);
    },
  });
  const send = lineWriter(slow);
  const sizes = [10, 20_000, 30_000, 5, 6, 2_000_000, 17_000, 7, 16_383, 16_384, 400_000, 3];
  const lines = sizes.map((size, at) => `${at}${(at % 2 ? 'é' : 'x').repeat(size)}`);
  for (const [at, line] of lines.entries()) {
    expect(send(line)).toBe(true);
    if (at % 5 === 4) await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => read.length >= lines.join('\n').length + 1);
  expect(read).toBe(`${lines.join('\n')}\n`);
});

/** Greets, and then says nothing more. */
const mute: OpenChannel = async (receive) => {
  const ended = Promise.withResolvers<string>();
  const say = (message: object) =>
    setImmediate(() => receive(Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...message }))));
  return {
    send(line) {
      const { id, method } = JSON.parse(line) as { id?: number; method: string };
      if (method === 'server/discover') say({ id, error: { code: -32601, message: 'not here' } });
      if (method === 'tools/list') say({ id, result: { tools: [] } });
      if (method !== 'initialize') return true;
      const serverInfo = { name: 'mute', version: '1' };
      say({ id, result: { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo } });
      return true;
    },
    ended: ended.promise,
    close: async () => ended.resolve('it was closed'),
  };
};

const MODERN_META = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': { name: 'long', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {},
};

test.each(['2025-11-25', '2026-07-28'])(
  'a server that takes its time doesn’t keep long requests in memory (%s)',
  async (revision) => {
    await using running = await runGateway({ prepare: () => ({ open: mute }) });
    const session = await running.session('fake');
    const modern = revision === '2026-07-28';
    const answered: unknown[] = [];
    const filler = Buffer.alloc(1_000_000, 'x');
    const long = (number: number) => {
      const parts = [
        `{"jsonrpc":"2.0","id":"a-name-so-long-that-it-could-be-a-piece-of-the-text-${number}","method":"tools/call","params":{"name":"echo","arguments":{"text":"`,
        filler,
        `"},"_meta":${JSON.stringify(modern ? { progressToken: 1, ...MODERN_META } : { progressToken: 1 })}}}`,
      ];
      const headers = {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': revision,
        ...(revision === '2026-07-28'
          ? { 'mcp-method': 'tools/call', 'mcp-name': 'echo' }
          : { 'mcp-session-id': session }),
        'content-length': parts.reduce((sum, part) => sum + part.length, 0),
      };
      const request = http.request(`${running.url}/fake/mcp`, { method: 'POST', agent: false, headers });
      request.on('error', () => undefined);
      request.on('response', (response) => response.on('data', (part: Buffer) => answered.push(part.toString())));
      for (const part of parts) request.write(part);
      request.end();
      return request;
    };
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const used = async () => {
      await new Promise((resolve) => setTimeout(resolve, 100));
      collect();
      const { heapUsed, arrayBuffers } = process.memoryUsage();
      return (heapUsed + arrayBuffers) / filler.length;
    };
    // What is made once, for the first.
    const requests = [long(0)];
    await until(() => requests.every(({ writableFinished }) => writableFinished));
    const before = await used();
    for (let number = 1; number <= 24; number += 1) {
      requests.push(long(number));
      await once(requests.at(-1) as http.ClientRequest, 'finish');
    }
    expect((await used()) - before).toBeLessThan(8);
    // They are still worked on, every one.
    expect(answered).toEqual([]);
    for (const request of requests) request.destroy();
  },
);
