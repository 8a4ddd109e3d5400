import https from 'node:https';
import { describe, expect, test, vi } from 'vitest';
import { type Issued, makeAuthority } from '../../fakes/certificates.ts';
import { startProvider } from '../../fakes/oidc-provider.ts';
import { hasProgram } from '../programs.ts';
import { runWatched } from '../watching/watched.ts';

// Child processes start slowly on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

interface Answered {
  readonly status: number;
  readonly text: string;
  readonly challenge: string | undefined;
}

/** With a client's certificate, or without. */
function ask(
  url: string,
  ca: string,
  client: Issued | undefined,
  { body, headers = {} }: { body?: object; headers?: Record<string, string> } = {},
): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const request = https.request(url, {
      ca,
      agent: false,
      method: body ? 'POST' : 'GET',
      headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
      ...(client ? { cert: client.certificate, key: client.key } : {}),
    });
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.on('error', reject);
      response.on('data', (chunk: Buffer) => {
        text += String(chunk);
      });
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, text, challenge: response.headers['www-authenticate'] });
      });
    });
    request.end(body && JSON.stringify(body));
  });
}

const hello = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
};

async function setup(mode: 'required' | 'optional', oauth?: object) {
  const server = makeAuthority();
  const clients = makeAuthority();
  const own = server.issue(['127.0.0.1']);
  const tls = { cert: '/unread', key: '/unread', clientCA: '/unread', clientCertificates: mode };
  const grants = [
    { certificate: { CN: 'leaf-1' }, roles: ['caller'], servers: ['fake'] },
    { certificate: { SAN: 'ops.example.test' }, roles: ['operator'] },
    { scope: 'mcp', roles: ['caller'] },
  ];
  const watched = await runWatched({
    servers: { fake: {}, other: {} },
    proxy: { tls, grants, ...(oauth ? { oauth } : {}) },
    options: {
      tls: {
        cert: Buffer.from(own.certificate),
        key: Buffer.from(own.key),
        clientCA: Buffer.from(clients.ca),
        clientCertificates: mode,
      },
    },
  });
  const url = watched.url.replace('http:', 'https:');
  return {
    ...watched,
    clients,
    post: (name: string, client: Issued | undefined, headers = {}) =>
      ask(`${url}/${name}/mcp`, server.ca, client, { body: hello, headers }),
    get: (path: string, client: Issued | undefined) => ask(`${url}${path}`, server.ca, client),
    async [Symbol.asyncDispose]() {
      await watched[Symbol.asyncDispose]();
      server[Symbol.dispose]();
      clients[Symbol.dispose]();
    },
  };
}

const reason = hasProgram('openssl') ? undefined : 'openssl is not installed';

describe.skipIf(reason)(`a client’s certificate${reason ? ` [skipped: ${reason}]` : ''}`, () => {
  test('of the client authority lets in to what is granted to its subject, and no other does', async () => {
    await using it = await setup('required');
    const ann = it.clients.issue(['ann.example.test']);
    const ops = it.clients.issue(['ops.example.test']);
    using strangers = makeAuthority();
    const stranger = strangers.issue(['ann.example.test']);
    expect((await it.post('fake', ann)).status).toBe(200);
    expect((await it.post('other', ann)).status).toBe(403);
    expect((await it.get('/_status.json', ann)).status).toBe(403);
    expect((await it.post('fake', ops)).status).toBe(403);
    expect((await it.get('/_status.json', ops)).status).toBe(200);
    expect((await it.post('fake', it.clients.issue(['bob.example.test']))).status).toBe(403);
    await expect(it.post('fake', stranger)).rejects.toThrow();
    await expect(it.post('fake', undefined)).rejects.toThrow();
    const started = await it.post('fake', ann);
    expect(started.text).toContain('serverInfo');
  });

  test('may be missing where it is optional; then a token is needed', async () => {
    await using provider = await startProvider();
    await using it = await setup('optional', { issuer: provider.issuer, audience: 'here' });
    using strangers = makeAuthority();
    expect((await it.post('fake', it.clients.issue(['ann.example.test']))).status).toBe(200);
    expect((await it.post('fake', undefined)).status).toBe(401);
    expect((await it.post('fake', strangers.issue(['ann.example.test']))).status).toBe(401);
    const token = provider.token({ aud: 'here', scope: 'mcp' });
    expect((await it.post('other', undefined, { authorization: `Bearer ${token}` })).status).toBe(200);
  });

  test('is what a token bound to it (RFC 8705) must be shown with', async () => {
    const { createHash, X509Certificate } = await import('node:crypto');
    await using provider = await startProvider();
    await using it = await setup('optional', { issuer: provider.issuer, audience: 'here' });
    const ann = it.clients.issue(['ann.example.test']);
    const bob = it.clients.issue(['bob.example.test']);
    const { raw } = new X509Certificate(ann.certificate);
    const cnf = { 'x5t#S256': createHash('sha256').update(raw).digest('base64url') };
    const headers = { authorization: `Bearer ${provider.token({ aud: 'here', scope: 'mcp', cnf })}` };
    expect((await it.post('other', ann, headers)).status).toBe(200);
    expect((await it.post('other', bob, headers)).status).toBe(401);
    expect((await it.post('other', undefined, headers)).status).toBe(401);
  });
});
