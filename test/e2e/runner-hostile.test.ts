import { execFile } from 'node:child_process';
import { mkdir, realpath } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Descriptor } from '../../registry/index.ts';
import { engine } from '../../runner/engine.ts';
import {
  CONFIG_FILE,
  type Decision,
  parsePermissions,
  type RunResult,
  reaper,
  runContainer,
} from '../../runner/index.ts';
import { fileEntry } from '../fakes/docker-image.ts';
import { missing } from './harness/needs.ts';
import { ended, lacking, leftovers, type Stage, stage } from './runner-fixture.ts';

const reason = lacking();
const run = promisify(execFile);
const uncompiled = missing('cc');
const because = uncompiled ? ` [skipped: ${uncompiled}]` : '';

describe.skipIf(reason)(`a server that wants out${reason ? ` [skipped: ${reason}]` : ''}`, () => {
  let on: Stage;
  beforeAll(async () => {
    on = await stage();
  });
  afterAll(async () => on?.end());

  /** A C file beside this test as the server. */
  async function compiled(name: string): Promise<Descriptor> {
    const program = join(on.folder, name);
    const source = fileURLToPath(new URL(`./runner-hostile/${name}.c`, import.meta.url));
    await run('cc', ['-static', '-O1', '-o', program, source]);
    return on.files([await fileEntry(program, `bin/${name}`)], { entrypoint: [`/bin/${name}`] });
  }

  test.skipIf(uncompiled)(`makes no system call it has no business with${because}`, async () => {
    const child = on.run(await compiled('calls'));
    child.stdin.end();
    const { code, stdout } = await ended(child);
    const said = Object.fromEntries(
      stdout
        .toString()
        .trim()
        .split('\n')
        .map((line) => line.split(' ') as [string, string]),
    );
    const works = ['socket-inet', 'socket-inet6', 'socket-unix', 'socket-route', 'memfd_create', 'fork', 'wait'];
    for (const name of works) expect([name, said[name]]).toEqual([name, 'ok']);
    const refused = Object.entries(said).filter(([name]) => !works.includes(name));
    expect(refused.length).toBeGreaterThan(40);
    for (const [name, result] of refused) {
      expect([name, result]).toEqual([name, name === 'clone3' ? 'ENOSYS' : 'EPERM']);
    }
    expect(code).toBe(0);
  });

  test('finds nothing to write to and nothing to look at', async () => {
    const tries = [
      'echo x > /proc/sys/kernel/core_pattern',
      'echo x > /proc/sysrq-trigger',
      'echo x > /sys/fs/cgroup/memory/release_agent',
      'echo x > /sys/kernel/uevent_helper',
      'echo x > /etc/passwd',
      'echo x > /bin/sh',
      'cat /proc/kcore',
      'head -c 1 /dev/vda',
      'head -c 1 /dev/mem',
      'ls /var/run/docker.sock',
      'mount -t proc none /tmp',
      'mknod /tmp/disk b 254 0',
      'unshare -U true',
      'su -c true',
      'touch /home/nonroot/x && chmod 755 /home/nonroot/x && printf "#!/bin/sh\\n" > /home/nonroot/x && /home/nonroot/x',
    ];
    const script = `${tries.map((line, at) => `(${line}) >/dev/null 2>&1 && echo "done ${at}"`).join('\n')}\ncat /proc/keys /proc/timer_list /proc/interrupts 2>/dev/null | wc -c; ps | wc -l; echo end`;
    const child = on.run(await on.shell(script));
    child.stdin.end();
    const { stdout } = await ended(child);
    // No attempt succeeded; kernel tables are empty; the only processes are its own.
    const lines = stdout.toString().trim().split('\n');
    expect(lines.filter((line) => line.startsWith('done')).map((line) => tries[Number(line.split(' ')[1])])).toEqual(
      [],
    );
    expect(lines.at(-3)).toBe('0');
    expect(Number(lines.at(-2))).toBeLessThan(8);
    expect(lines.at(-1)).toBe('end');
  });

  test.skipIf(uncompiled)(`can not fork without end, and others go on meanwhile${because}`, async () => {
    const bomb = on.run(await compiled('bomb'), {
      limits: { memory: 128 * 1024 ** 2, cpus: 0.5, pids: 50, files: 256, tmp: 1 << 20, home: 1 << 20 },
      inputGrace: 1_000_000,
      name: 'bomb',
    });
    const end = ended(bomb);
    await new Promise((resolve) => bomb.stdout.once('data', resolve));
    const other = on.run(await on.shell('cat'));
    other.stdin.end('alive');
    expect((await ended(other)).stdout.toString()).toBe('alive');
    const [container] = await on.runtime.list({ 'io.mcp-build.server': 'bomb' });
    const { pids } = await on.runtime.usage(container?.name ?? '');
    expect(pids).toBeGreaterThan(10);
    expect(pids).toBeLessThanOrEqual(50);
    bomb.kill('SIGTERM');
    await end;
    expect((await leftovers(on)).containers).toEqual([]);
  });

  test('can not fill the disk', async () => {
    const child = on.run(
      await on.shell(
        'for place in /tmp ~ /dev/shm; do dd if=/dev/zero of=$place/x bs=1M count=200 2>/dev/null; stat -c %s $place/x; rm $place/x; done',
      ),
    );
    child.stdin.end();
    const sizes = (await ended(child)).stdout.toString().trim().split('\n').map(Number);
    expect(sizes).toHaveLength(3);
    for (const size of sizes) expect(size).toBeLessThanOrEqual(64 * 1024 ** 2);
  });

  test('gets its configuration as a private copy', async () => {
    const script = `stat -c '%a %u' ${CONFIG_FILE}; id -u; cat ${CONFIG_FILE}; echo x >> ${CONFIG_FILE}; chmod 666 ${CONFIG_FILE}; rm ${CONFIG_FILE}`;
    const child = on.run(await on.shell(script), { files: [{ target: CONFIG_FILE, content: '{"token":"x"}\n' }] });
    child.stdin.end();
    const { stdout } = await ended(child);
    const root = process.getuid?.() === 0;
    expect(stdout.toString()).toBe(`${root ? '400 65532' : `444 ${process.getuid?.()}`}\n65532\n{"token":"x"}\n`);
  });

  test('prints no secret to the terminal, even when it tries', async () => {
    const token = 'sk-0123456789abcdef';
    const script =
      'console.error("token", process.env.TOKEN, JSON.stringify(process.env), btoa(process.env.TOKEN)); process.exit(1)';
    const child = on.run(await on.node(script), {
      permissions: { environment: ['TOKEN'] },
      environment: { TOKEN: token },
    });
    child.stdin.end();
    const { stderr } = await ended(child);
    expect(stderr).toMatch(/token \[TOKEN\]/);
    expect(stderr).not.toContain(token);
    expect(stderr).not.toContain(btoa(token).slice(0, 16));
  });

  test('in Python, too, gets variables that the daemon never hears of', async (context) => {
    const image = await on.python(
      'import os, sys\nprint(os.environ["TOKEN"], sys.argv[1:], os.getpid(), flush=True)\nsys.stdin.read()\n',
    );
    if (!image) return context.skip('no /usr/bin/python3 on this machine');
    const token = `tök"en'\n\u{1f511}-0123456789`;
    const child = on.run(image, {
      permissions: { environment: ['TOKEN'] },
      environment: { TOKEN: token },
      args: ['--flag', 'a b'],
    });
    // Python that doesn't buffer writes a line in pieces.
    let seen = '';
    await new Promise<void>((resolve) => {
      child.once('close', () => resolve());
      child.stdout.on('data', (chunk: Buffer) => {
        seen += chunk;
        if (/\d+\n$/.test(seen)) resolve();
      });
    });
    expect(seen).toContain(`${token} ['--flag', 'a b'] `);
    const [container] = await on.runtime.list({ 'io.mcp-build.role': 'server' });
    expect(JSON.stringify(await on.runtime.inspect(container?.name ?? ''))).not.toContain('0123456789');
    child.stdin.end();
    expect((await ended(child)).code).toBe(0);
  });

  test('a link put in the place of a volume while it starts is noticed', async () => {
    const { rename, symlink } = await import('node:fs/promises');
    const folder = join(await realpath(on.folder), 'swapped');
    await mkdir(folder);
    const start = on.runtime.start.bind(on.runtime);
    const swapping = {
      ...on.runtime,
      async start(name: string) {
        await rename(folder, `${folder}.away`);
        await symlink('/etc', folder);
        await start(name);
      },
    };
    await expect(
      go(await on.shell('cat'), { runtime: swapping, permissions: { volumes: [{ path: folder, mode: 'ro' }] } }).result,
    ).rejects.toMatchObject({ code: 'permission-refused' });
    expect((await leftovers(on)).containers).toEqual([]);
  });

  /** A run in this process, where a test can stand in for the resolver. */
  function go(image: Descriptor, more: Record<string, unknown> = {}) {
    const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
    const decisions: Decision[] = [];
    const said: string[] = [];
    const { permissions, ...rest } = more;
    const result: Promise<RunResult> = runContainer({
      runtime: on.runtime,
      store: on.store,
      image,
      server: { name: 'hostile' },
      permissions: parsePermissions(permissions ?? {}),
      args: [],
      environment: {},
      reaper: reaper({ folder: join(on.state, 'run'), idle: 3_000 }),
      machine: {
        home: '/root',
        state: on.state,
        run: join(on.state, 'run'),
        environment: {},
        uid: process.getuid?.(),
        gid: process.getgid?.(),
      },
      say: (line) => said.push(line),
      streams,
      onDecision: (decision) => decisions.push(decision),
      ...rest,
    });
    result.catch(() => undefined);
    const out: Buffer[] = [];
    streams.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    streams.stderr.on('data', (chunk: Buffer) => out.push(chunk));
    return { result, streams, decisions, said, text: () => Buffer.concat(out).toString() };
  }

  describe('and talks to what it was not given', () => {
    // An address of the internet, on a network that only this test has: what is judged is the real thing.
    const NETWORK = '11.98.76.0/24';
    const GATEWAY = '11.98.76.1';
    const name = `mcp-build-test-${process.pid}`;
    let upstream: http.Server;
    let port: number;
    const reached: string[] = [];

    beforeAll(async () => {
      const { status } = await engine(on.runtime.endpoint).request('POST', '/networks/create', {
        json: { Name: name, IPAM: { Config: [{ Subnet: NETWORK, Gateway: GATEWAY }] } },
      });
      expect(status).toBe(201);
      upstream = http.createServer((request, response) => {
        reached.push(`${request.headers.host}${request.url}`);
        if (request.url === '/redirect')
          return response.writeHead(302, { location: `http://169.254.169.254/latest` }).end();
        response.end('from outside');
      });
      // On every address of the machine: whatever gets out of the namespace at all is seen.
      await new Promise<void>((resolve) => upstream.listen(0, '0.0.0.0', resolve));
      port = (upstream.address() as AddressInfo).port;
    });
    afterAll(async () => {
      upstream?.closeAllConnections();
      upstream?.close();
      await engine(on.runtime.endpoint).request('DELETE', `/networks/${name}`);
    });

    const resolve = async (host: string) => (host.startsWith('inside') ? ['10.0.0.1'] : [GATEWAY]);

    const NODE = (gate: number) => `
      import net from 'node:net';
      import dns from 'node:dns/promises';
      const result = {};
      const fetched = (url) => fetch(url, { signal: AbortSignal.timeout(5000) }).then(async (answer) => answer.status + ' ' + (await answer.text()), (error) => String(error.cause?.code ?? error.cause ?? error));
      const dialled = (host, port) => new Promise((done) => { const c = net.connect({ host, port, timeout: 3000 }); c.on('connect', () => done('connected')).on('error', (e) => done(e.code)).on('timeout', () => done('timeout')); });
      result.permitted = await fetched('http://ok.example.test:${gate}/data');
      result.other = await fetched('http://other.example.test:${gate}/data');
      result.inside = await fetched('http://inside.example.test:${gate}/data');
      result.literal = await fetched('http://${GATEWAY}:${gate}/data');
      result.metadata = await fetched('http://169.254.169.254/latest/meta-data/');
      result.redirect = await fetched('http://ok.example.test:${gate}/redirect');
      result.gateway = await dialled('${GATEWAY}', ${gate});
      result.docker0 = await dialled('172.17.0.1', ${gate});
      result.internet = await dialled('11.0.0.1', 443);
      result.loopback = await dialled('127.0.0.1', ${gate});
      result.dns = await dns.lookup('data.example.test').catch((e) => e.code);
      result.resolver = await new dns.Resolver({ timeout: 500, tries: 1 }).resolve4('data.example.test').catch((e) => e.code);
      console.log(JSON.stringify(result));
      process.exit(0);`;

    test('reaches what it was given, and nothing else, by any way', async () => {
      reached.length = 0;
      const { result, decisions, said, text, streams } = go(await on.node(NODE(port)), {
        permissions: { network: [`ok.example.test:${port}`, `inside.example.test:${port}`] },
        resolve,
      });
      streams.stdin.end();
      expect((await result).exitCode).toBe(0);
      const seen = JSON.parse(text()) as Record<string, string>;
      expect(seen).toMatchObject({
        permitted: '200 from outside',
        other: expect.not.stringMatching(/^200/),
        inside: expect.not.stringMatching(/^200/),
        literal: expect.not.stringMatching(/^200/),
        metadata: expect.not.stringMatching(/^200/),
        redirect: expect.not.stringMatching(/^200/),
        gateway: 'ENETUNREACH',
        docker0: 'ENETUNREACH',
        internet: 'ENETUNREACH',
        loopback: 'ECONNREFUSED',
        dns: expect.stringMatching(/^(EAI_AGAIN|ENOTFOUND)$/),
      });
      expect(seen.resolver).not.toMatch(/^\[|^[0-9]/);
      expect(reached).toEqual([`ok.example.test:${port}/data`, `ok.example.test:${port}/redirect`]);
      expect(decisions[0]).toMatchObject({ host: 'ok.example.test', allowed: true, address: GATEWAY });
      expect(decisions.filter(({ allowed }) => !allowed).map(({ host, reason: why }) => `${host} ${why}`)).toEqual([
        'other.example.test not-permitted',
        'inside.example.test internal-address',
        `${GATEWAY} not-a-name`,
        '169.254.169.254 not-a-name',
        '169.254.169.254 not-a-name',
      ]);
      expect(said.join('\n')).toMatch(/--allow-net other\.example\.test/);
      expect(await leftovers(on)).toEqual({ containers: [], files: [] });
    });

    test('with no network reaches nothing at all', async () => {
      reached.length = 0;
      const { result, text, streams } = go(await on.node(NODE(port)));
      streams.stdin.end();
      await result;
      const seen = JSON.parse(
        text()
          .split('\n')
          .find((line) => line.startsWith('{')) ?? '{}',
      ) as Record<string, string>;
      for (const way of ['permitted', 'gateway', 'docker0', 'internet', 'dns']) {
        expect([way, seen[way]]).toEqual([way, expect.stringMatching(/ENETUNREACH|EAI_AGAIN|ENOTFOUND|ECONNREFUSED/)]);
      }
      expect(reached).toEqual([]);
    });

    test('in Python goes the same way', async (context) => {
      const image = await on.python(`import urllib.request, socket
def get(url):
    try:
        return urllib.request.urlopen(url, timeout=5).read().decode()
    except Exception as error:
        return repr(getattr(error, 'reason', error))
print(get('http://ok.example.test:${port}/data'))
print(get('http://other.example.test:${port}/data'))
try:
    socket.create_connection(('${GATEWAY}', ${port}), 3)
    print('connected')
except OSError as error:
    print(error)
`);
      if (!image) return context.skip('no /usr/bin/python3 on this machine');
      const { result, text, streams } = go(image, { permissions: { network: [`ok.example.test:${port}`] }, resolve });
      streams.stdin.end();
      expect((await result).exitCode).toBe(0);
      const lines = text().trim().split('\n');
      expect(lines[0]).toBe('from outside');
      expect(lines[1]).toMatch(/Forbidden/);
      expect(lines[2]).toMatch(/unreachable/);
    });

    test('is learned from, in the words of a flag', async () => {
      const script = `for (const host of ['a', 'b', 'inside']) await fetch('http://' + host + '.example.test:${port}/').then((r) => r.text(), () => 0); process.exit(0)`;
      const { result, said, streams } = go(await on.node(script), { learn: true, resolve });
      streams.stdin.end();
      await result;
      expect(said.at(-1)).toContain(`--allow-net a.example.test:${port},b.example.test:${port}`);
    });

    test('and is killed: neither it nor what stands beside it survives', async () => {
      const image = await on.node('console.log("up"); setInterval(() => 0, 1000)');
      const child = on.run(image, { permissions: { network: ['ok.example.test:443'] } });
      await new Promise((resolveUp) => child.stdout.once('data', resolveUp));
      expect((await leftovers(on)).containers).toHaveLength(2);
      child.kill('SIGKILL');
      const { until } = await import('./runner-fixture.ts');
      await until(async () => {
        const { containers, files } = await leftovers(on);
        return containers.length === 0 && files.length === 0;
      }, 5_000);
    });

    test('with the whole network still does not see its neighbours', async () => {
      const listener = go(
        await on.shell("nc -l -p 9000 -e echo neighbour & ip addr show eth0 | grep -o 'inet [0-9.]*'; wait"),
        { permissions: { network: 'all' }, inputGrace: 60_000 },
      );
      const { until } = await import('./runner-fixture.ts');
      await until(() => /inet [0-9.]+/.test(listener.text()), 20_000);
      const address = /inet ([0-9.]+)/.exec(listener.text())?.[1];
      const prober = go(
        await on.shell(
          `nc -w 2 ${address} 9000 2>/dev/null && echo reached || echo alone; wget -q -O - http://${GATEWAY}:${port}/ && echo`,
        ),
        { permissions: { network: 'all' } },
      );
      prober.streams.stdin.end();
      await prober.result;
      expect(prober.text()).toMatch(/alone\nfrom outside\n$/);
      listener.streams.stdout.destroy();
      listener.streams.stdin.end();
      for (const { name: container } of await on.runtime.list({ 'io.mcp-build.server': 'hostile' }))
        await on.runtime.kill(container, 'SIGKILL');
      await listener.result;
    });
  });
});
