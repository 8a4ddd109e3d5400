import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmod, chown, cp, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import https from 'node:https';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { docker, parseEndpoint, type Runtime } from '../../runner/index.ts';
import { type Authority, makeAuthority } from '../fakes/certificates.ts';
import { type Dockerd, testDocker } from './dockerd.ts';
import { childEnvironment, cliDone, MAIN, type Workplace, workplace } from './harness/cli.ts';
import { describeWith } from './harness/needs.ts';
import { root as tree } from './harness/tree.ts';

/** In place of the users that the units name: nobody on a machine has these numbers. */
const DAEMON = 64_501;
const GATEWAY = 64_502;
const STRANGER = 64_503;

let daemon: Dockerd;
let runtime: Runtime;
let place: Workplace;
let authority: Authority & Disposable;
let port: number;
let token: string;
/** What `deploy systemd --to` wrote, and the folders that the units give their services. */
let root: string;
let socket: string;
const running: ChildProcess[] = [];

const config = (server: string) => ({
  mcpProxy: {
    addr: `127.0.0.1:${port}`,
    tls: { cert: join(place.cwd, 'tls/cert.pem'), key: join(place.cwd, 'tls/key.pem') },
  },
  mcpServers: {
    memory: { command: 'npx', args: ['-y', server], env: { MEMORY_FILE_PATH: '/tmp/m.json' } },
  },
});
const OLD = '@modelcontextprotocol/server-memory@2025.9.25';
const NEW = '@modelcontextprotocol/server-memory@2025.11.25';

/** The words of a unit's ExecStart, as systemd would start them, with the places that this test has in place of the machine's. */
async function execStart(unit: string, places: Readonly<Record<string, string>>): Promise<string[]> {
  const text = await readFile(join(root, 'etc/systemd/system', unit), 'utf8');
  const line = /^ExecStart=(.+)$/m.exec(text)?.[1] ?? '';
  return line.split(' ').map((word) => Object.entries(places).reduce((w, [from, to]) => w.replace(from, to), word));
}

/** Without root's groups, capabilities, or any way to get them back: what User=, Group= and NoNewPrivileges= do. */
function as(uid: number, groups: readonly number[], command: readonly string[]): readonly string[] {
  const supplementary = groups.length > 0 ? ['--groups', groups.join(',')] : ['--clear-groups'];
  const drop = ['--no-new-privs', '--inh-caps=-all', '--bounding-set=-all'];
  return ['setpriv', '--reuid', `${uid}`, '--regid', `${uid}`, ...supplementary, ...drop, '--', ...command];
}

function start(
  words: readonly string[],
  env: Record<string, string>,
): { readonly child: ChildProcess; said(): string } {
  const [program = '', ...args] = words;
  const child = spawn(program, args, { cwd: '/', env: childEnvironment(env), stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
  running.push(child);
  return { child, said: () => said };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  await new Promise((resolve) => child.once('close', resolve));
}

async function until(condition: () => boolean | Promise<boolean>, what: () => string = () => ''): Promise<void> {
  const end = Date.now() + 120_000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`it did not happen in time: ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

function post(path: string, body?: object, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const url = new URL(`https://127.0.0.1:${port}${path}`);
    const method = body ? 'POST' : 'GET';
    const types = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
    const request = https.request(
      url,
      { method, ca: authority.ca, agent: false, headers: { ...types, ...headers } },
      (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }));
      },
    );
    request.on('error', reject);
    request.end(body ? JSON.stringify(body) : undefined);
  });
}

/** By 2026-07-28, which needs no session. */
async function call(name: string, args: object): Promise<string> {
  const _meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {},
  };
  const message = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args, _meta } };
  const headers = {
    authorization: `Bearer ${token}`,
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': 'tools/call',
    'mcp-name': name,
  };
  return (await post('/memory/mcp', message, headers)).body;
}

const ready = async () => (await post('/_readyz').catch(() => undefined))?.status === 200;
const servers = async () => runtime.list({ 'io.mcp-build.role': 'server' });

/** What a process of some user gets from a socket: a status of HTTP, or the system's error. */
function asked(uid: number, groups: readonly number[], path: string, request: string): string {
  const script =
    'const c=require("net").connect(process.argv[1]);let t="";' +
    'c.on("connect",()=>c.write(JSON.parse(process.argv[2])));' +
    'c.on("error",(e)=>{console.log(e.code);process.exit()});' +
    'c.on("data",(d)=>{t+=d;const m=/^HTTP\\/1.1 (\\d+)/.exec(t);if(m){console.log(m[1]);process.exit()}});' +
    'c.on("end",()=>process.exit())';
  const [program = '', ...args] = as(uid, groups, [process.execPath, '-e', script, path, JSON.stringify(request)]);
  return execFileSync(program, args, { cwd: '/', encoding: 'utf8', timeout: 60_000 }).trim();
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

describeWith(['docker', 'root', 'setpriv', 'openssl', 'systemd-socket-activate'], 'mcp-build deploy systemd', () => {
  let docked: string;
  let daemonHome: string;
  let gatewayHome: string;

  beforeAll(async () => {
    daemon = await testDocker();
    runtime = docker(parseEndpoint(daemon.host));
    docked = daemon.host.replace(/^unix:\/\//, '');
    // A private daemon's folder is root's alone; its socket stays as it is.
    if (dirname(docked).includes('mcp-build-dockerd-')) await chmod(dirname(docked), 0o711);
    place = await workplace();
    port = await freePort();
    authority = makeAuthority();
    const { certificate, key } = authority.issue(['127.0.0.1']);
    await mkdir(join(place.cwd, 'tls'));
    await writeFile(join(place.cwd, 'tls/cert.pem'), certificate);
    await writeFile(join(place.cwd, 'tls/key.pem'), key, { mode: 0o400 });
    await chown(join(place.cwd, 'tls/key.pem'), GATEWAY, GATEWAY);
    const file = join(place.cwd, 'config.json');
    await writeFile(file, JSON.stringify(config(OLD)), { mode: 0o600 });
    root = join(place.cwd, 'root');
    const program = `${process.execPath} ${MAIN}`;
    const deploy = ['deploy', 'systemd', '--config', file, '--to', root, '--locked', '--program', program];
    await cliDone([...deploy, '--backups', '/backups/mcp'], place);
    // What `systemd-tmpfiles` and StateDirectory= would do.
    daemonHome = join(place.cwd, 'var/mcp-build');
    gatewayHome = join(place.cwd, 'var/mcp-gateway');
    socket = join(place.cwd, 'run/daemon.sock');
    for (const version of [OLD, NEW]) await cliDone(['prepare', `npm:${version}`], place);
    await mkdir(daemonHome, { recursive: true });
    // Without what it is to have accepted only later.
    const left = ['cache', 'accepted', 'run'].map((name) => join(place.home, name));
    await cp(place.home, daemonHome, { recursive: true, filter: (path) => !left.includes(path) });
    await mkdir(join(place.cwd, 'config/mcp-build'), { recursive: true });
    for (const folder of [gatewayHome, join(place.cwd, 'run'), join(place.cwd, 'private')]) await mkdir(folder);
    execFileSync('chown', [
      '-R',
      `${DAEMON}:${DAEMON}`,
      daemonHome,
      join(place.cwd, 'run'),
      join(place.cwd, 'private'),
    ]);
    execFileSync('chown', ['-R', `${GATEWAY}:${GATEWAY}`, gatewayHome]);
    for (const folder of [daemonHome, gatewayHome, join(place.cwd, 'private')]) await chmod(folder, 0o700);
    await chown(join(root, 'etc/mcp-build/daemon.json'), DAEMON, DAEMON);
    await chown(join(root, 'etc/mcp-build/gateway.json'), GATEWAY, GATEWAY);
    const made = await cliDone(['token', 'create', 'phone', '--json'], {
      cwd: '/',
      env: { ...place.env, MCP_BUILD_HOME: gatewayHome },
      uid: GATEWAY,
    });
    token = made.json<{ token: string }>().token;
  });
  afterAll(async () => {
    for (const child of running) child.kill('SIGTERM');
    await Promise.all(running.map(ended));
    authority?.[Symbol.dispose]();
    await place?.[Symbol.asyncDispose]();
    await daemon?.stop();
  });

  const places = (main: string) => ({
    [MAIN]: main,
    '/etc/mcp-build/': `${join(root, 'etc/mcp-build')}/`,
    '/run/mcp-build/daemon.sock': socket,
  });
  const startDaemon = async (main = MAIN) => {
    const { gid } = await stat(docked);
    // The socket is made before the daemon is, by another process, as systemd does.
    const words = await execStart('mcp-build-daemon.service', places(main));
    const activate = ['systemd-socket-activate', '-l', socket];
    const variables = ['MCP_BUILD_HOME', 'XDG_RUNTIME_DIR', 'XDG_CONFIG_HOME', 'DOCKER_HOST', 'HOME', 'PATH'];
    for (const name of variables) activate.push('-E', name);
    const started = start(as(DAEMON, [gid], [...activate, ...words]), {
      MCP_BUILD_HOME: daemonHome,
      HOME: daemonHome,
      XDG_RUNTIME_DIR: join(place.cwd, 'private'),
      XDG_CONFIG_HOME: join(place.cwd, 'config'),
      DOCKER_HOST: daemon.host,
    });
    await until(
      async () => (await stat(socket).catch(() => undefined)) !== undefined,
      () => started.said(),
    );
    // SocketGroup= and SocketMode= of the socket's unit.
    await chown(socket, DAEMON, GATEWAY);
    await chmod(socket, 0o660);
    return started;
  };
  const startGateway = async (main = MAIN) => {
    const words = await execStart('mcp-build-gateway.service', places(main));
    return start(as(GATEWAY, [], words), { MCP_BUILD_HOME: gatewayHome, HOME: gatewayHome, DOCKER_HOST: daemon.host });
  };

  test('the units are what systemd understands, and give away little', async () => {
    const folder = join(root, 'etc/systemd/system');
    const names = ['mcp-build-daemon.service', 'mcp-build-gateway.service', 'mcp-build-backup.service'];
    for (const name of [...names, 'mcp-build-daemon.socket', 'mcp-build-backup.timer']) {
      const said = execFileSync('systemd-analyze', ['verify', `./${name}`], { cwd: folder, encoding: 'utf8' });
      expect(said, name).toBe('');
    }
    for (const name of names) {
      // In tenths, of ten; throws above that.
      execFileSync('systemd-analyze', ['security', '--offline=true', '--threshold=25', `./${name}`], {
        cwd: folder,
        stdio: 'ignore',
      });
    }
    const users = execFileSync('systemd-sysusers', ['--dry-run', join(root, 'etc/sysusers.d/mcp-build.conf')], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    expect(users).not.toContain('Failed');
    // What only the daemon may know isn't in what the gateway reads.
    expect(await readFile(join(root, 'etc/mcp-build/gateway.json'), 'utf8')).not.toMatch(/MEMORY_FILE_PATH|npx/);
  });

  test('started as they say, by users that share nothing, they serve calls over TLS to who has a token', async () => {
    const first = await startDaemon();
    const second = await startGateway();
    await until(ready, () => first.said() + second.said());
    expect(await call('read_graph', {})).toContain('entities');
    expect((await post('/memory/mcp', { jsonrpc: '2.0', id: 1, method: 'ping' })).status).toBe(401);
    expect(await servers()).toHaveLength(1);
    const groups = await readFile(`/proc/${second.child.pid}/status`, 'utf8');
    expect(/^Groups:\s*$/m.test(groups)).toBe(true);
    expect(/^CapEff:\s*0+$/m.test(groups)).toBe(true);
    expect(asked(GATEWAY, [], docked, 'GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n')).toBe('EACCES');
  });

  test('who took over the gateway gets servers by name, and neither images, arguments, files nor Docker', async () => {
    const say = (request: string, more = '') =>
      asked(GATEWAY, [], socket, `${request} HTTP/1.1\r\nHost: x\r\n${more}\r\n`);
    const upgrade = 'Connection: Upgrade\r\nUpgrade: mcp-build-stdio\r\n';
    expect(say('GET /servers/memory')).toBe('200');
    expect(say('POST /servers/memory', upgrade)).toBe('101');
    expect(say('POST /servers/unknown', upgrade)).toBe('404');
    expect(say('POST /servers/npm:evil', upgrade)).toBe('400');
    expect(say('POST /servers/memory?image=evil', upgrade)).toBe('400');
    const body = JSON.stringify({ image: 'evil', args: ['--privileged'], permissions: { network: 'all' } });
    expect(say('POST /servers/memory', `${upgrade}Content-Length: ${body.length}\r\n\r\n${body}`)).toBe('400');
    expect(say('POST /v1.41/containers/create')).toBe('400');
    expect(asked(STRANGER, [], socket, 'GET /servers/memory HTTP/1.1\r\nHost: x\r\n\r\n')).toBe('EACCES');
    for (const path of [join(root, 'etc/mcp-build/daemon.json'), join(daemonHome, 'keys')]) {
      const [program = '', ...args] = as(GATEWAY, [], ['grep', '-r', '.', path]);
      expect(() => execFileSync(program, args, { cwd: '/', stdio: 'pipe' })).toThrow(/Permission denied/);
    }
    // Only the gateway's own is left.
    await until(async () => (await servers()).length === 1);
  });

  test('a server is upgraded and rolled back by the daemon’s configuration, and the gateway goes on', async () => {
    const file = join(root, 'etc/mcp-build/daemon.json');
    const versions = async () => (await servers()).map(({ labels }) => labels['io.mcp-build.version']).join();
    const [older, newer] = [OLD, NEW].map((one) => one.split('@').at(-1) as string);
    const [first] = running as [ChildProcess];
    expect(await versions()).toBe(older);
    const before = await readFile(file, 'utf8');
    const write = (text: string) => writeFile(file, text, { mode: 0o600 });
    await write(before.replace(OLD, NEW));
    await until(async () => (await versions()) === newer);
    await until(ready);
    expect(await call('read_graph', {})).toContain('entities');
    // Back again is what an attacker would want, too: it takes a policy that says so.
    await write(before);
    await until(async () => (await versions()) === '');
    await until(async () => (await call('read_graph', {})).includes('rollback'));
    const policy = {
      version: 1,
      keys: { machine: { file: join(daemonHome, 'keys/machine.pub') } },
      rules: [{ name: 'ours', sources: ['npm:@modelcontextprotocol/*'], signatures: { by: ['machine'] } }],
      exceptions: [
        {
          check: 'rollback',
          source: 'npm:@modelcontextprotocol/server-memory',
          version: older,
          reason: 'the newer one loses notes',
          expires: new Date(Date.now() + 7 * 86_400_000).toISOString().slice(0, 10),
        },
      ],
    };
    await writeFile(join(place.cwd, 'config/mcp-build/policy.yaml'), JSON.stringify(policy));
    first.kill('SIGHUP');
    await until(async () => (await versions()) === older);
    await until(ready);
    expect(await call('read_graph', {})).toContain('entities');
  });

  test('mcp-build itself is upgraded and rolled back on the state that is there', async () => {
    const accepted = async () => {
      const folder = join(daemonHome, 'accepted');
      return Promise.all((await readdir(folder)).sort().map((name) => readFile(join(folder, name), 'utf8')));
    };
    const before = await accepted();
    expect(before).toHaveLength(1);
    execFileSync(process.execPath, ['.ci/build.ts'], { cwd: tree, stdio: 'ignore' });
    // As the documentation has it: the other version is installed, then both services are restarted.
    const installed = async (version: string) => {
      const folder = join(place.cwd, 'installed', version);
      await cp(join(tree, 'dist'), join(folder, 'dist'), { recursive: true });
      await symlink(join(tree, 'node_modules'), join(folder, 'node_modules'));
      for (const file of ['package.json', 'dist/package.json']) {
        const said = JSON.parse(await readFile(join(tree, file), 'utf8')) as object;
        await writeFile(join(folder, file), JSON.stringify({ ...said, version }));
      }
      const main = join(folder, 'dist/cli/main.js');
      expect(execFileSync(process.execPath, [main, '--version'], { encoding: 'utf8' })).toContain(version);
      return main;
    };
    const [newer, older] = [await installed('98.0.0'), await installed('97.0.0')];
    for (const main of [newer, older, MAIN]) {
      for (const child of running) child.kill('SIGTERM');
      await Promise.all(running.splice(0).map(ended));
      expect(await servers()).toEqual([]);
      await rm(socket, { force: true });
      const first = await startDaemon(main);
      const second = await startGateway(main);
      await until(ready, () => first.said() + second.said());
      // The token that was made before the upgrade, the lock, the keys and the policy with its exception are as good as they were.
      expect(await call('read_graph', {})).toContain('entities');
      expect(await servers()).toHaveLength(1);
      expect(await accepted()).toEqual(before);
    }
  });

  test('a daemon that is killed takes its servers along, and the next one serves the gateway that waited', async () => {
    const [child, gateway] = running as [ChildProcess, ChildProcess];
    child.kill('SIGKILL');
    await ended(child);
    await until(async () => (await servers()).length === 0);
    await rm(socket, { force: true });
    const again = await startDaemon();
    await until(ready, () => again.said());
    expect(await call('read_graph', {})).toContain('entities');
    expect(gateway.exitCode).toBeNull();
    again.child.kill('SIGTERM');
    await ended(again.child);
    await until(async () => (await servers()).length === 0);
  });

  test('`up` does the same by one command: the gateway below it has no group, no secret and no way to Docker', async () => {
    for (const child of running) child.kill('SIGTERM');
    await Promise.all(running.map(ended));
    const folder = join(place.cwd, 'up');
    await mkdir(folder);
    const sockets = join(daemonHome, 'run');
    await cp(daemonHome, join(folder, 'daemon'), { recursive: true, filter: (path) => path !== sockets });
    await rm(join(folder, 'daemon/accepted'), { recursive: true, force: true });
    execFileSync('chown', ['-R', '0:0', join(folder, 'daemon')]);
    const given = config(NEW);
    token = 'a-token-of-the-configuration';
    const proxy = { ...given.mcpProxy, options: { authTokens: [token] } };
    const file = join(folder, 'config.json');
    await writeFile(file, JSON.stringify({ ...given, mcpProxy: proxy }), { mode: 0o600 });
    const words = [process.execPath, MAIN, 'up', '--config', file, '--as', `${GATEWAY}`, '--locked'];
    const { child, said } = start(words, {
      DOCKER_HOST: daemon.host,
      XDG_CONFIG_HOME: folder,
      A_SECRET: 'of a server',
    });
    await until(ready, said);
    expect(await call('read_graph', {})).toContain('entities');
    const gateways = execFileSync('ps', ['-o', 'pid=', '-u', `${GATEWAY}`], { encoding: 'utf8' })
      .trim()
      .split(/\s+/);
    expect(gateways).toHaveLength(1);
    const status = await readFile(`/proc/${gateways[0]}/status`, 'utf8');
    expect(status).toMatch(new RegExp(`^Uid:(\\s+${GATEWAY}){4}$`, 'm'));
    expect(status).toMatch(/^Groups:\s*$/m);
    expect(await readFile(`/proc/${gateways[0]}/environ`, 'utf8')).not.toContain('of a server');
    expect(asked(GATEWAY, [], docked, 'GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n')).toBe('EACCES');
    const [program = '', ...args] = as(GATEWAY, [], ['ls', join(folder, 'daemon')]);
    expect(() => execFileSync(program, args, { cwd: '/', stdio: 'pipe' })).toThrow(/Permission denied/);
    // A change of the one file is taken over by both.
    const other = { ...given.mcpServers, again: given.mcpServers.memory };
    await writeFile(file, JSON.stringify({ mcpProxy: proxy, mcpServers: other }), { mode: 0o600 });
    await until(async () => (await servers()).length === 2 && (await ready()), said);
    child.kill('SIGTERM');
    await ended(child);
    expect(child.exitCode).toBe(0);
    expect(await servers()).toEqual([]);
  });
});
