import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createToken, hashToken, identityOf, type Role, readTokens } from '../../../gateway/index.ts';
import { runWatched } from '../watching/watched.ts';

const hello = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {} },
};

/** Through the file that the tokens are kept in. */
async function tokenOf(roles: readonly Role[] | undefined, servers: readonly string[] | null = null) {
  const folder = await mkdtemp(join(tmpdir(), 'roles-'));
  const path = join(folder, 'tokens.json');
  const given = { name: 'it', lifetime: undefined, servers, tools: null, roles, rotate: undefined };
  const { token } = await createToken(path, given);
  const [stored] = await readTokens(path);
  await rm(folder, { recursive: true });
  return { token, entry: [hashToken(token), identityOf(stored!)] as const };
}

test.each<[readonly Role[] | undefined, { call: number; see: number; stop: number }]>([
  [['caller'], { call: 200, see: 403, stop: 403 }],
  [['viewer'], { call: 403, see: 200, stop: 403 }],
  [['operator'], { call: 403, see: 200, stop: 200 }],
  [['admin'], { call: 200, see: 200, stop: 200 }],
  [['caller', 'viewer'], { call: 200, see: 200, stop: 403 }],
  [undefined, { call: 200, see: 200, stop: 200 }],
])('the roles %j may do what they say', async (roles, may) => {
  const { token, entry } = await tokenOf(roles);
  await using watched = await runWatched({}, new Map([entry]));
  const headers = { authorization: `Bearer ${token}` };
  expect((await watched.post('fake', hello, headers)).status).toBe(may.call);
  for (const path of ['/_metrics', '/_status.json']) {
    expect((await fetch(watched.url + path, { headers })).status, path).toBe(may.see);
  }
  const body = JSON.stringify({ server: 'fake', action: 'restart' });
  const order = { method: 'POST', headers: { ...headers, 'content-type': 'application/json' }, body };
  expect((await fetch(`${watched.url}/_control`, order)).status).toBe(may.stop);
});

test('an operator of one server sees and stops that one', async () => {
  const { token, entry } = await tokenOf(['operator'], ['mine']);
  await using watched = await runWatched({ servers: { mine: {}, theirs: {} } }, new Map([entry]));
  const headers = { authorization: `Bearer ${token}` };
  const status = (await (await fetch(`${watched.url}/_status.json`, { headers })).json()) as {
    servers: { name: string; controllable: boolean }[];
    incidents: { incident: { server: string } }[];
  };
  expect(status.servers).toMatchObject([{ name: 'mine', controllable: true }]);
  expect(status.incidents.filter(({ incident }) => incident.server !== 'mine')).toEqual([]);
  const metrics = await (await fetch(`${watched.url}/_metrics`, { headers })).text();
  expect(metrics).toContain('mcp_server="mine"');
  expect(metrics).not.toContain('theirs');
  const stop = (server: string) =>
    fetch(`${watched.url}/_control`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify({ server, action: 'stop' }),
    });
  expect((await stop('theirs')).status).toBe(403);
  expect((await stop('mine')).status).toBe(200);
  expect(watched.gateway.servers().map(({ name, state }) => [name, state === 'held'])).toEqual([
    ['mine', true],
    ['theirs', false],
  ]);
});
