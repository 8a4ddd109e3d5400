import { execFile, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readFile, writeFile } from 'node:fs/promises';
import net, { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Descriptor } from '../../registry/index.ts';
import { readImage } from '../../runner/index.ts';
import { fileEntry } from '../fakes/docker-image.ts';
import { commandPath, missing } from './harness/needs.ts';
import { ended, lacking, leftovers, type Stage, stage, until } from './runner-fixture.ts';

const CLIENT = commandPath('docker');
const reason = lacking() ?? missing('cc', 'docker client');
const PAGE = fileURLToPath(new URL('../../docs/runner.md', import.meta.url));
const BEGIN = '<!-- compared: begin -->';
const END = '<!-- compared: end -->';

/** What one and the same image tries, one line of evidence each. The last ones leave no room for more. */
const PROBES = (gateway: string, tcp: number, udp: number) => `
say() { echo "$1=$2"; }
try() { name=$1; shift; if ( "$@" ) >/dev/null 2>&1; then say $name yes; else say $name no; fi; }
say uid $(id -u)
say capabilities $(grep CapEff /proc/self/status | cut -f2)
say newprivs $(grep NoNewPrivs /proc/self/status | cut -f2)
say interfaces $(ls /sys/class/net | wc -l)
try root touch /written
try passwd sh -c 'echo x:x:0:0::/:/bin/sh >> /etc/passwd'
try device mknod /tmp/disk b 254 0
try chroot chroot / /bin/true
try chown sh -c 'touch /tmp/f && chown 1:1 /tmp/f'
try execute sh -c 'printf "#!/bin/sh\\n" > /tmp/run && chmod 755 /tmp/run && /tmp/run'
try disk dd if=/dev/zero of=/big bs=1M count=100
try raw ping -c 1 -W 1 127.0.0.1
try tcp sh -c 'echo hello | nc -w 2 ${gateway} ${tcp} | grep answered'
tftp -g -r x -l /dev/null ${gateway} ${udp} >/dev/null 2>&1 & sleep 1; kill $! 2>/dev/null
try memory sh -c "awk 'BEGIN { s = sprintf(\\"%1000000s\\", \\"\\"); for (i = 0; i < 700; i++) a[i] = s i; print \\"done\\" }' | grep done"
( i=0; while [ $i -lt 600 ]; do sleep 3 & i=$((i+1)); done; set -- /proc/[0-9]*; echo "processes=$#" ) 2>/dev/null
echo end
`;

/** Those of the calls that any server makes. */
const ORDINARY = ['socket-inet', 'socket-inet6', 'socket-unix', 'socket-route', 'memfd_create', 'fork', 'wait'];

type Evidence = Readonly<Record<string, string>>;

describe.skipIf(reason)(`the walls beside docker's own${reason ? ` [skipped: ${reason}]` : ''}`, () => {
  let on: Stage;
  let tcp: net.Server;
  const udp = createSocket('udp4');
  const heard: string[] = [];
  let image: Descriptor;
  let calls: Descriptor | undefined;
  beforeAll(async () => {
    on = await stage();
    tcp = net.createServer((socket) => socket.on('error', () => undefined).end('answered\n'));
    await new Promise<void>((resolve) => tcp.listen(0, '0.0.0.0', resolve));
    udp.on('message', (_message, { address }) => heard.push(address));
    await new Promise<void>((resolve) => udp.bind(0, '0.0.0.0', resolve));
    const gateway = (
      await docker('network', 'inspect', 'bridge', '--format', '{{(index .IPAM.Config 0).Gateway}}')
    ).trim();
    const script = PROBES(gateway || '172.17.0.1', (tcp.address() as AddressInfo).port, udp.address().port);
    // Names no user, as most images that are offered in public don't.
    image = await on.image({ entrypoint: ['/bin/sh', '-c', script, 'server'], user: '' });
    const program = join(on.folder, 'calls');
    const source = fileURLToPath(new URL('./runner-hostile/calls.c', import.meta.url));
    await promisify(execFile)('cc', ['-static', '-O1', '-o', program, source]);
    calls = await on.files([await fileEntry(program, 'bin/calls')], {
      entrypoint: ['/bin/calls', 'untraced'],
      user: '',
    });
  });
  afterAll(async () => {
    tcp?.close();
    udp.close();
    await on?.end();
  });

  const docker = async (...args: readonly string[]) =>
    (await promisify(execFile)(CLIENT ?? '', args, { env: { ...process.env, DOCKER_HOST: on.daemon.host } })).stdout;

  const load = async (of: Descriptor) =>
    on.runtime.load(on.store, await readImage(on.store, of), `compared:${of.digest.slice(7, 19)}`);

  /** What a user types who has only Docker. */
  async function byDocker(of: Descriptor): Promise<string> {
    const id = await load(of);
    const child = spawn(CLIENT ?? '', ['run', '-i', '--rm', id], {
      env: { ...process.env, DOCKER_HOST: on.daemon.host },
    });
    child.stdin.end();
    return (await ended(child)).stdout.toString();
  }

  async function byUs(of: Descriptor): Promise<string> {
    const child = on.run(of);
    child.stdin.end();
    return (await ended(child)).stdout.toString();
  }

  async function evidence(way: (of: Descriptor) => Promise<string>): Promise<Evidence> {
    heard.length = 0;
    const lines = (await way(image)).trim().split('\n');
    const seen = Object.fromEntries(
      lines.flatMap((line) => (line.includes('=') ? [line.split('=') as [string, string]] : [])),
    );
    const made = calls ? (await way(calls)).trim().split('\n') : [];
    const worked = made.filter((line) => line.endsWith(' ok') && !ORDINARY.includes(line.split(' ')[0] ?? ''));
    return {
      ...seen,
      udp: heard.length > 0 ? 'yes' : 'no',
      ...(made.length < 40 ? {} : { calls: `${worked.length} of ${made.length - ORDINARY.length}` }),
    };
  }

  async function afterKill(way: 'docker' | 'us'): Promise<string> {
    const up = await on.shell('echo up; exec sleep 60');
    const id = await load(up);
    const child =
      way === 'us'
        ? on.run(up)
        : spawn(CLIENT ?? '', ['run', '-i', '--rm', '--name', 'compared-left', id], {
            env: { ...process.env, DOCKER_HOST: on.daemon.host },
          });
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    child.kill('SIGKILL');
    if (way === 'us') {
      await until(async () => (await leftovers(on)).containers.length === 0, 15_000);
      return 'no';
    }
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    const left = (await docker('ps', '-q', '--filter', 'name=compared-left')).trim() !== '';
    await docker('rm', '-f', 'compared-left');
    return left ? 'yes' : 'no';
  }

  async function secretShown(): Promise<readonly [string, string]> {
    const server = await on.node(
      'process.stdout.write("up"); process.stdin.resume(); process.stdin.on("end", () => process.exit(0))',
    );
    const id = await load(server);
    const name = 'compared-secret';
    await docker('run', '-d', '-i', '--name', name, '-e', 'TOKEN=s3cret-value', id);
    const theirs = await docker('inspect', name);
    await docker('rm', '-f', name);
    const child = on.run(server, { permissions: { environment: ['TOKEN'] }, environment: { TOKEN: 's3cret-value' } });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    const [container] = await on.runtime.list({ 'io.mcp-build.role': 'server' });
    const ours = await docker('inspect', container?.name ?? '');
    child.stdin.end();
    await ended(child);
    const shown = (text: string) => (text.includes('s3cret-value') ? 'yes' : 'no');
    return [shown(theirs), shown(ours)];
  }

  test('stop what Docker lets through, and docs/runner.md says so', async () => {
    const theirs = await evidence(byDocker);
    const ours = await evidence(byUs);
    const killed = [await afterKill('docker'), await afterKill('us')] as const;
    const secret = await secretShown();
    const count = (hex = '') =>
      [...hex].reduce((sum, digit) => sum + (Number.parseInt(digit, 16).toString(2).match(/1/g)?.length ?? 0), 0);
    const processes = ({ processes: number }: Evidence) =>
      number === undefined ? 'stopped below 600' : 'yes, no limit';
    const row = (what: string, name: string) => [what, theirs[name] ?? '?', ours[name] ?? '?'];
    const rows = [
      ['user id', theirs.uid ?? '', ours.uid ?? ''],
      ['capabilities', String(count(theirs.capabilities)), String(count(ours.capabilities))],
      [
        'gains privileges by set-user-id programs',
        ...[theirs, ours].map(({ newprivs }) => (newprivs === '1' ? 'no' : 'yes')),
      ],
      row('writes to the root file system', 'root'),
      row('adds a user to `/etc/passwd`', 'passwd'),
      row('writes 100 MB to the disk', 'disk'),
      row('makes a device node', 'device'),
      row('changes its root', 'chroot'),
      row('gives files away', 'chown'),
      row('executes what it wrote', 'execute'),
      row('sends raw packets', 'raw'),
      ['network interfaces', theirs.interfaces ?? '', ours.interfaces ?? ''],
      row('reaches a TCP service of this machine', 'tcp'),
      row('sends UDP to this machine', 'udp'),
      row('takes 700 MB of memory', 'memory'),
      ['starts 600 processes', processes(theirs), processes(ours)],
      ...(theirs.calls === undefined ? [] : [row('makes system calls that it has no business with', 'calls')]),
      ['its variables are in `docker inspect`', ...secret],
      ['runs on when its client is killed', ...killed],
    ];
    const table = [
      '| a server that tries          | `docker run -i` | `mcp-build run` |',
      '| --- | --- | --- |',
      ...rows.map((cells) => `| ${cells.join(' | ')} |`),
    ].join('\n');
    console.log(table);
    // What each says is evidence of a container that got to the end, and not of one that never started.
    for (const seen of [theirs, ours]) expect(Object.keys(seen).length).toBeGreaterThan(14);
    expect(ours).toMatchObject({
      uid: '65532',
      newprivs: '1',
      interfaces: '1',
      udp: 'no',
      capabilities: '0000000000000000',
    });
    for (const probe of ['root', 'passwd', 'device', 'chroot', 'chown', 'execute', 'disk', 'raw', 'tcp', 'memory']) {
      expect([probe, ours[probe]]).toEqual([probe, 'no']);
    }
    if (calls) expect(ours.calls).toMatch(/^0 of [0-9]+$/);
    expect([ours.processes, killed[1], secret[1]]).toEqual([undefined, 'no', 'no']);
    const page = await readFile(PAGE, 'utf8');
    const [before = '', after = ''] = [page.split(BEGIN)[0], page.split(END)[1]];
    const written = `${before}${BEGIN}\n\n${table}\n\n${END}${after}`;
    if (process.env.UPDATE_DOCS) await writeFile(PAGE, written);
    // What Docker's defaults are differs from version to version; what is ours doesn't.
    const column = (text: string) =>
      text
        .split('\n')
        .filter((line) => line.startsWith('|'))
        .map((line) => line.split('|').at(-2)?.trim());
    expect(column(page.split(BEGIN)[1]?.split(END)[0] ?? '').slice(2)).toEqual(
      process.env.UPDATE_DOCS ? expect.anything() : column(table).slice(2),
    );
  });
});
