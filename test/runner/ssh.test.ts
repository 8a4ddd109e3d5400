import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endpointSchema, formatEndpoint, parseEndpoint } from '../../runner/endpoint.ts';
import { engine } from '../../runner/engine.ts';
import { type SshEndpoint, sshCommand } from '../../runner/ssh.ts';

let folder: string;
let daemon: http.Server;
let environment: Record<string, string>;
const log = () => readFile(join(folder, 'log'), 'utf8');

/** What passes for ssh: writes down how it was called, and joins its stdin and stdout with a socket of this machine. */
const FAKE = (socket: string, log: string) =>
  `#!${process.execPath}
const net = require('node:net');
require('node:fs').appendFileSync(${JSON.stringify(log)}, JSON.stringify([process.argv.slice(2), process.env.SSH_AUTH_SOCK ?? null]) + '\\n');
if (process.argv.includes('refuses.example.test')) {
  console.error('refuses.example.test: \\u001b[31mPermission denied (publickey).');
  process.exit(255);
}
const to = net.connect({ path: ${JSON.stringify(socket)}, allowHalfOpen: true });
process.stdin.pipe(to).pipe(process.stdout);
`.replaceAll('\\\\', '\\');

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ssh-'));
  const socket = join(folder, 'docker.sock');
  daemon = http.createServer((request, response) => {
    response.setHeader('api-version', '1.41');
    request.resume().on('end', () => response.end(JSON.stringify({ path: request.url })));
  });
  daemon.on('upgrade', (_request, connection, head) => {
    connection.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
    if (head.length > 0) connection.unshift(head);
    // What is said until its half is closed comes back, and then the end.
    const said: Buffer[] = [];
    connection.on('data', (chunk: Buffer) => said.push(chunk));
    connection.on('end', () => connection.end(Buffer.concat(said)));
  });
  await new Promise<void>((resolve) => daemon.listen(socket, resolve));
  await writeFile(join(folder, 'ssh'), FAKE(socket, join(folder, 'log')));
  await chmod(join(folder, 'ssh'), 0o755);
  environment = { PATH: `relative:${folder}`, SSH_AUTH_SOCK: '/run/agent.sock' };
});
afterAll(async () => {
  daemon.closeAllConnections();
  daemon.close();
  await rm(folder, { recursive: true, force: true });
});

const reached = (text: string) => parseEndpoint(text, environment) as SshEndpoint;

describe('a daemon behind ssh', () => {
  test.each([
    ['ssh://far.example.test', ['--', 'far.example.test', 'docker', 'system', 'dial-stdio']],
    ['ssh://me@far:2222', ['-l', 'me', '-p', '2222', '--', 'far', 'docker', 'system', 'dial-stdio']],
    ['ssh://[::1]:22', ['-p', '22', '--', '::1', 'docker', 'system', 'dial-stdio']],
    [
      'ssh://far/run/user/1000/docker.sock',
      ['--', 'far', 'docker', '--host', 'unix:///run/user/1000/docker.sock', 'system', 'dial-stdio'],
    ],
  ])('%s is reached as by docker itself', (text, words) => {
    expect(sshCommand(reached(text)).slice(3)).toEqual(words);
    expect(formatEndpoint(reached(text))).toBe(text);
    // As the reaper gets it.
    expect(endpointSchema.parse(JSON.parse(JSON.stringify(reached(text))))).toEqual(reached(text));
  });

  test('is asked over one login, one request after the other', async () => {
    const api = engine(reached('ssh://me@far.example.test'));
    for (const path of ['/a', '/b', '/c']) {
      expect(JSON.parse((await api.request('GET', path)).body.toString())).toEqual({ path: `/v1.41${path}` });
    }
    const calls = (await log()).trim().split('\n');
    expect(calls).toHaveLength(1);
    expect(JSON.parse(calls[0] ?? '')).toEqual([
      [...sshCommand(reached('ssh://me@far.example.test'))],
      '/run/agent.sock',
    ]);
  });

  test('carries raw streams, and the end of one half', async () => {
    const { input, chunks, destroy } = await engine(reached('ssh://far.example.test')).upgrade('/attach');
    const sent = Buffer.alloc(3 * 1024 * 1024, 'abcdefg');
    input.end(sent);
    const got: Buffer[] = [];
    for await (const chunk of chunks) got.push(Buffer.from(chunk));
    expect(Buffer.concat(got).equals(sent)).toBe(true);
    destroy();
  });

  test('that refuses is told in the words of ssh, without its colours', async () => {
    const refused = engine(reached('ssh://refuses.example.test')).request('GET', '/info');
    await expect(refused).rejects.toMatchObject({
      code: 'docker-unavailable',
      message: expect.stringContaining('Permission denied (publickey).'),
    });
    await expect(refused).rejects.toMatchObject({ message: expect.not.stringContaining('\u001b') });
  });

  test('needs ssh on an absolute PATH', () => {
    expect(() => parseEndpoint('ssh://far', { PATH: 'relative' })).toThrow(
      expect.objectContaining({ code: 'docker-unavailable' }),
    );
  });
});
