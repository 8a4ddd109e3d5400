import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { webhook } from '../../../gateway/index.ts';

const UNUSUAL = {
  pattern: 'rate',
  server: 'files',
  what: '600 calls in a minute',
  at: '2026-11-22T20:00:00.000Z',
} as const;
const servers: http.Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

/** A receiver that answers with the given statuses in turn. */
async function receiver(...statuses: number[]): Promise<{ url: URL; bodies: unknown[] }> {
  const bodies: unknown[] = [];
  const server = http.createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => {
      text += chunk;
    });
    request.on('end', () => {
      bodies.push(JSON.parse(text));
      const status = statuses.length > 1 ? statuses.shift()! : statuses[0]!;
      response.writeHead(status, status === 302 ? { location: 'http://127.0.0.1:1/' } : {});
      response.end();
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?key=secret`), bodies };
}

test('an alert comes as JSON that chat programs show', async () => {
  const { url, bodies } = await receiver(204);
  const hook = webhook({ url, say: () => undefined });
  hook.tell(UNUSUAL);
  await hook.settled();
  expect(bodies).toEqual([{ text: 'mcp-build: files: 600 calls in a minute', ...UNUSUAL }]);
});

test('is sent again until it is taken', async () => {
  const { url, bodies } = await receiver(500, 429, 200);
  const hook = webhook({ url, say: () => undefined, pauses: [1, 1, 1] });
  hook.tell(UNUSUAL);
  await hook.settled();
  expect(bodies).toHaveLength(3);
});

test.each([
  [302, 'follows no redirect'],
  [500, 'gives up in the end'],
])('%i: %s, and says so without the address’ secret', async (status) => {
  const { url, bodies } = await receiver(status);
  const said: string[] = [];
  const hook = webhook({ url, say: (line) => said.push(line), pauses: [1] });
  hook.tell(UNUSUAL);
  await hook.settled();
  expect(bodies).toHaveLength(2);
  expect(said).toHaveLength(1);
  expect(said[0]).not.toContain('secret');
});

test('a receiver that is gone holds nothing up, and takes no memory', async () => {
  const hook = webhook({ url: new URL('http://127.0.0.1:1/'), say: () => undefined, pauses: [20] });
  const before = performance.now();
  for (let at = 0; at < 10_000; at++) hook.tell(UNUSUAL);
  expect(performance.now() - before).toBeLessThan(5_000);
});
