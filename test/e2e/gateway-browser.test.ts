import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runGateway } from '../gateway/gateway.ts';
import { commandPath, describeWith } from './harness/needs.ts';

let browser: Browser;
let pages: http.Server;
let port: number;

describeWith(['chromium'], 'a web page in a real browser', () => {
  beforeAll(async () => {
    pages = http.createServer((_request, response) =>
      response.writeHead(200, { 'content-type': 'text/html' }).end('<title>a page</title>'),
    );
    await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve));
    port = (pages.address() as AddressInfo).port;
    browser = await chromium.launch({
      executablePath: commandPath('chromium') as string,
      // Root's browser has no sandbox of its own. A name that somebody else made lead here is what DNS rebinding is.
      args: ['--no-sandbox', '--disable-dev-shm-usage', '--host-resolver-rules=MAP rebound.test 127.0.0.1'],
    });
  });
  afterAll(async () => {
    await browser?.close();
    pages?.closeAllConnections();
    pages?.close();
  });

  /** What a page of this origin gets from the gateway, tried in each way that a browser has. */
  async function tried(origin: string, url: string): Promise<Record<string, string>> {
    const context = await browser.newContext();
    try {
      const page = await context.newPage();
      await page.goto(origin);
      return await page.evaluate(async (address) => {
        const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'page', version: '1' } };
        const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params });
        const json = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
        const ask = (to: string, init: RequestInit) =>
          fetch(to, init).then(
            async (response) => `${response.type} ${response.status} ${(await response.text()).slice(0, 40)}`,
            () => 'refused',
          );
        return {
          call: await ask(address, { method: 'POST', headers: json, body }),
          // Asked without the browser's asking first.
          simple: await ask(address, { method: 'POST', body, headers: { 'content-type': 'text/plain' } }),
          blind: await ask(address, { method: 'POST', body, mode: 'no-cors' }),
          health: await ask(new URL('/_readyz', address).href, {}),
          events: await new Promise<string>((resolve) => {
            const source = new EventSource(new URL('/fake/sse', address).href);
            source.addEventListener('endpoint', () => resolve('heard'));
            source.onerror = () => resolve('refused');
          }),
        };
      }, url);
    } finally {
      await context.close();
    }
  }

  test('of a foreign origin can neither ask the gateway nor read from it, though no token protects it', async () => {
    await using running = await runGateway();
    const got = await tried(`http://127.0.0.1:${port}/`, `${running.url}/fake/mcp`);
    expect(got).toEqual({
      call: 'refused',
      simple: 'refused',
      // What went out blindly was refused, too, and can't be read.
      blind: 'opaque 0 ',
      health: 'refused',
      events: 'refused',
    });
    expect(running.gateway.servers()[0]?.sessions).toBe(0);
  });

  test('that made a name of its own lead here is refused by that name', async () => {
    await using running = await runGateway();
    const own = new URL(running.url);
    own.hostname = 'rebound.test';
    const page = await browser.newPage();
    const response = await page.goto(new URL('/_readyz', own).href);
    expect(response?.status()).toBe(403);
    await page.close();
  });

  test('that the configuration allows may do what it is there for', async () => {
    const origin = `http://127.0.0.1:${port}`;
    await using running = await runGateway({ proxy: { allowedOrigins: [origin] } });
    const got = await tried(`${origin}/`, `${running.url}/fake/mcp`);
    expect(got.call).toMatch(/^cors 200 \{"jsonrpc":"2.0","id":1,"result"/);
    expect(got.events).toBe('heard');
    expect(running.gateway.servers()[0]?.sessions).toBe(1);
  });
});
