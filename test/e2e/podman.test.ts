import { execFile } from 'node:child_process';
import { chown, mkdir, realpath, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fileEntry } from '../fakes/docker-image.ts';
import { missing } from './harness/needs.ts';
import { lackingPodman, startPodman } from './podman.ts';
import { ended, leftovers, type Stage, stage, until } from './runner-fixture.ts';

const reason = lackingPodman();
const uncompiled = missing('cc');

describe.skipIf(reason)(`Podman, by its Docker API${reason ? ` [skipped: ${reason}]` : ''}`, () => {
  let on: Stage;
  beforeAll(async () => {
    on = await stage(startPodman);
  });
  afterAll(async () => on?.end());

  test('passes bytes both ways, half-closes, ends with its exit code and leaves nothing', async () => {
    const run = on.run(await on.shell('cat; exit 7'));
    run.stdin.end('hello\n');
    expect(await ended(run)).toMatchObject({ code: 7, stdout: Buffer.from('hello\n'), stderr: '' });
    expect(await leftovers(on)).toEqual({ containers: [], files: [] });
  });

  test('builds the walls', async () => {
    const script = `id -u; id -G; grep -E "^(CapEff|CapBnd|CapInh|CapPrm|CapAmb|NoNewPrivs|Seccomp):" /proc/self/status; ls /sys/class/net
for place in / /run /dev /etc /var /sys /proc/sys; do touch $place/x 2>/dev/null && echo "wrote $place"; done
for place in /run /tmp /dev/shm /var/tmp ~; do dd if=/dev/zero of=$place/x bs=1M count=200 2>/dev/null; [ "$(stat -c %s $place/x)" -gt 67108864 ] && echo "filled $place"; rm -f $place/x; done
printf '#!/bin/sh\\n' > /tmp/run && chmod 755 /tmp/run && /tmp/run 2>/dev/null && echo executed
touch ~/here && echo home; cat /proc/kcore /proc/keys 2>/dev/null | wc -c; env`;
    const run = on.run(await on.shell(script), { env: { MY_OWN_SECRET: 'secret' } });
    run.stdin.end();
    const text = (await ended(run)).stdout.toString();
    expect(text).toMatch(/^65532\n65532\n/);
    for (const set of ['Eff', 'Bnd', 'Inh', 'Prm', 'Amb']) expect(text).toMatch(new RegExp(`Cap${set}:\t0+\n`));
    expect(text).toMatch(/NoNewPrivs:\t1\nSeccomp:\t2\nlo\n/);
    expect(text.match(/wrote .*/g)).toEqual(['wrote /run']);
    expect(text).not.toMatch(/filled|executed|secret/i);
    expect(text).toMatch(/home\n0\n/);
  });

  test.skipIf(uncompiled)(
    `filters system calls by our own list${uncompiled ? ` [skipped: ${uncompiled}]` : ''}`,
    async () => {
      const program = join(on.folder, 'calls');
      const source = fileURLToPath(new URL('./runner-hostile/calls.c', import.meta.url));
      await promisify(execFile)('cc', ['-static', '-O1', '-o', program, source]);
      const child = on.run(await on.files([await fileEntry(program, 'bin/calls')], { entrypoint: ['/bin/calls'] }));
      child.stdin.end();
      const { stdout } = await ended(child);
      const lines = stdout.toString().trim().split('\n');
      const works = ['socket-inet', 'socket-inet6', 'socket-unix', 'socket-route', 'memfd_create', 'fork', 'wait'];
      expect(
        lines
          .filter((line) => line.endsWith(' ok'))
          .map((line) => line.split(' ')[0])
          .sort(),
      ).toEqual([...works].sort());
      expect(lines.length).toBeGreaterThan(45);
    },
  );

  test('shares a folder with the rights it was given', async () => {
    const folder = join(await realpath(on.folder), 'share');
    await mkdir(folder);
    await writeFile(join(folder, 'in'), 'from outside');
    await chown(folder, 1234, 1234);
    const go = async (mode: string) => {
      const script = `id -u; cat ${folder}/in; touch ${folder}/out 2>&1 && echo wrote`;
      const run = on.run(await on.shell(script), { permissions: { volumes: [{ path: folder, mode }] } });
      run.stdin.end();
      return (await ended(run)).stdout.toString();
    };
    expect(await go('ro')).toMatch(/^1234\nfrom outside.*Read-only file system/s);
    expect(await go('rw')).toBe('1234\nfrom outsidewrote\n');
  });

  test('gives variables to the server, and to nobody who asks it', async () => {
    const run = on.run(
      await on.node('console.log(process.env.TOKEN); process.stdin.resume().on("end", () => process.exit(0))'),
      {
        permissions: { environment: ['TOKEN'] },
        environment: { TOKEN: 's3cret-value' },
      },
    );
    expect(String(await new Promise<Buffer>((resolve) => run.stdout.once('data', resolve)))).toBe('s3cret-value\n');
    const [container] = await on.runtime.list({ 'io.mcp-build.role': 'server' });
    expect(JSON.stringify(await on.runtime.inspect(container?.name ?? ''))).not.toContain('s3cret');
    run.stdin.end();
    expect((await ended(run)).code).toBe(0);
  });

  test('leads to the destinations that were given, by the proxy only', async () => {
    const script = `import net from 'node:net';
      const asked = await fetch('http://other.example.test/').then((r) => r.status, () => 'refused');
      const direct = await new Promise((done) => net.connect({ host: '11.0.0.1', port: 443, timeout: 2000 }).on('connect', () => done('connected')).on('error', (e) => done(e.code)).on('timeout', () => done('timeout')));
      console.log(JSON.stringify({ asked, direct })); process.exit(0);`;
    const run = on.run(await on.node(script), { permissions: { network: ['api.example.test:443'] } });
    run.stdin.end();
    const { stdout, stderr } = await ended(run);
    expect(JSON.parse(stdout.toString())).toEqual({ asked: expect.not.stringMatching(/^2/), direct: 'ENETUNREACH' });
    expect(stderr).toMatch(/refused other\.example\.test:80/);
    expect(await leftovers(on)).toEqual({ containers: [], files: [] });
  });

  test('is not asked for what it can’t keep apart', async () => {
    const run = on.run(await on.shell('id'), { permissions: { network: 'all' } });
    run.stdin.end();
    expect(await ended(run)).toMatchObject({ code: 1, stderr: expect.stringContaining('[engine-unsupported]') });
    expect((await leftovers(on)).containers).toEqual([]);
  });

  test('passes signals on, and keeps nothing of a client that is killed', async () => {
    const image = await on.shell('echo up; exec sleep 100');
    const first = on.run(image);
    await new Promise((resolve) => first.stdout.once('data', resolve));
    first.kill('SIGTERM');
    expect(await ended(first)).toMatchObject({ code: 143 });
    const second = on.run(image);
    await new Promise((resolve) => second.stdout.once('data', resolve));
    second.kill('SIGKILL');
    await until(async () => (await leftovers(on)).containers.length === 0, 15_000);
  });

  test('8 starts leave nothing behind', async () => {
    const image = await on.shell('exit 0');
    for (let turn = 0; turn < 8; turn += 1) {
      const run = on.run(image);
      run.stdin.end();
      expect((await ended(run)).code).toBe(0);
    }
    expect(await leftovers(on)).toEqual({ containers: [], files: [] });
  });
});
