import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { describe, expect, test } from 'vitest';
import { remoteChannel } from '../../gateway/index.ts';
import { decodedValue, encodedValue, mirroredOf } from '../../gateway/rpc/mirrored.ts';
import { lastMessage, type Running, runGateway, textOf } from './gateway.ts';

const META = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
};
const setup = { fake: { fake: { mirrored: true } } };

function call(running: Running, given: object, headers: Record<string, string>, name = 'mirrored') {
  const params = { name, arguments: given, _meta: META };
  return running.post(
    'fake',
    { jsonrpc: '2.0', id: 7, method: 'tools/call', params },
    { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': name, ...headers },
  );
}

describe('parameters that are repeated in headers', () => {
  test.each<[string, object, Record<string, string>, number]>([
    ['agree', { region: 'us-west1', count: 42 }, { 'mcp-param-region': 'us-west1', 'mcp-param-count': '42.0' }, 200],
    ['are not there, and nor are the headers', { region: null }, {}, 200],
    ['agree deep inside', { where: { zone: 'a' } }, { 'mcp-param-zone': 'a' }, 200],
    ['agree, as Base64', { region: 'größe' }, { 'mcp-param-region': '=?base64?Z3LDtsOfZQ==?=' }, 200],
    ['are true or false', { dry: false }, { 'mcp-param-dry': 'false' }, 200],
    ['differ', { region: 'us-west1' }, { 'mcp-param-region': 'eu-north1' }, 400],
    ['differ in their case', { region: 'us-west1' }, { 'mcp-param-region': 'US-WEST1' }, 400],
    ['have no header', { region: 'us-west1' }, {}, 400],
    ['are in the header alone', {}, { 'mcp-param-region': 'us-west1' }, 400],
    ['differ in their number', { count: 42 }, { 'mcp-param-count': '43' }, 400],
    ['are no number at all', { count: 0 }, { 'mcp-param-count': '' }, 400],
    ['differ deep inside', { where: { zone: 'a' } }, { 'mcp-param-zone': 'b' }, 400],
    ['are broken Base64', { region: 'a' }, { 'mcp-param-region': '=?base64?YQ?=' }, 400],
  ])('that %s', async (_what, given, headers, status) => {
    await using running = await runGateway(setup);
    const response = await call(running, given, headers);
    expect(response.status).toBe(status);
    const answer = lastMessage(await response.text());
    expect(answer.id).toBe(7);
    expect(answer.error?.code).toBe(status === 200 ? undefined : -32020);
  });

  test('are compared where all servers are served under one address, too', async () => {
    await using running = await runGateway(setup);
    const name = 'fake__mirrored';
    const ask = (headers: Record<string, string>) =>
      fetch(`${running.url}/mcp`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          'mcp-protocol-version': '2026-07-28',
          'mcp-method': 'tools/call',
          'mcp-name': name,
          ...headers,
        },
        body: JSON.stringify({
          jsonrpc: '2.0',
          id: 1,
          method: 'tools/call',
          params: { name, arguments: { region: 'a' }, _meta: META },
        }),
      });
    expect((await ask({ 'mcp-param-region': 'a' })).status).toBe(200);
    expect((await ask({ 'mcp-param-region': 'b' })).status).toBe(400);
  });

  test('of another tool, or of none, are nobody’s business', async () => {
    await using running = await runGateway(setup);
    expect((await call(running, { message: 'x' }, { 'mcp-param-region': 'a' }, 'echo')).status).toBe(200);
    expect((await call(running, {}, { 'mcp-param-other': 'a' })).status).toBe(200);
  });

  test('the official client sends them, to the gateway and from there on', async () => {
    await using far = await runGateway(setup);
    const seen: (string | undefined)[] = [];
    // A server elsewhere that has never heard of `initialize`.
    const front = http.createServer(async (request, response) => {
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part as Buffer);
      const body = Buffer.concat(parts);
      if (request.method !== 'POST') return response.writeHead(405).end();
      const { id, method } = JSON.parse(body.toString()) as { id: number; method: string };
      if (method === 'initialize') {
        const error = { code: -32601, message: 'Method not found' };
        response.writeHead(200, { 'content-type': 'application/json' });
        return response.end(JSON.stringify({ jsonrpc: '2.0', id, error }));
      }
      if (method === 'tools/call') seen.push(request.headers['mcp-param-region'] as string | undefined);
      const passed = http.request(
        `${far.url}/fake/mcp`,
        { method: 'POST', headers: { ...request.headers, 'content-length': body.length } },
        (answer) => {
          response.writeHead(answer.statusCode ?? 500, answer.headers);
          answer.pipe(response);
        },
      );
      return passed.end(body);
    });
    await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(front.address() as AddressInfo).port}/mcp`;
    const options = { name: 'fake', url, headers: {}, transport: 'streamable-http', oauth: undefined } as const;
    await using near = await runGateway({
      servers: { fake: { command: undefined, args: undefined, url, options: { sessions: 'shared' } } },
      prepare: () => ({ open: remoteChannel(options) }),
    });
    try {
      const client = new Client({ name: 't', version: '1' }, { versionNegotiation: { mode: { pin: '2026-07-28' } } });
      await client.connect(new StreamableHTTPClientTransport(new URL(`${near.url}/fake/mcp`)));
      await client.listTools();
      const answer = await client.callTool({ name: 'mirrored', arguments: { region: 'größe' } });
      expect(JSON.stringify(answer)).toContain('größe');
      await client.close();
      const session = await near.session('fake');
      expect(textOf(await near.call('fake', session, 'mirrored', { region: 'plain' }))).toContain('plain');
      expect(seen).toEqual(['=?base64?Z3LDtsOfZQ==?=', 'plain']);
    } finally {
      front.closeAllConnections();
      front.close();
    }
  });

  test('a page is told that it may send them', async () => {
    await using running = await runGateway({ ...setup, proxy: { allowedOrigins: ['https://app.example.test'] } });
    const response = await fetch(`${running.url}/fake/mcp`, {
      method: 'OPTIONS',
      headers: {
        origin: 'https://app.example.test',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type,mcp-param-region,x-other',
      },
    });
    const allowed = response.headers.get('access-control-allow-headers')?.toLowerCase().split(', ');
    expect(allowed).toContain('mcp-param-region');
    expect(allowed).not.toContain('x-other');
  });

  test.each<[string, object]>([
    ['a number', { a: { type: 'number', 'x-mcp-header': 'A' } }],
    ['one name twice', { a: { type: 'string', 'x-mcp-header': 'A' }, b: { type: 'string', 'x-mcp-header': 'a' } }],
    ['no name', { a: { type: 'string', 'x-mcp-header': '' } }],
    ['a name with a line break', { a: { type: 'string', 'x-mcp-header': 'A\r\nB' } }],
  ])('a schema that has %s repeated breaks the rules', (_what, properties) => {
    expect(mirroredOf({ type: 'object', properties })).toEqual([]);
  });

  test.each(['plain', '', ' padded ', 'line\nbreak', 'größe', '=?base64?literal?=', 'a\tb'])('%j survives', (value) => {
    const encoded = encodedValue(value);
    expect(/^[\t -~]*$/.test(encoded)).toBe(true);
    expect(decodedValue(encoded)).toBe(value);
  });
});
