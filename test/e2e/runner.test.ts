import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, realpath, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ended, lacking, leftovers, type Stage, stage, until } from './runner-fixture.ts';

const reason = lacking();

describe.skipIf(reason)(`a real daemon${reason ? ` [skipped: ${reason}]` : ''}`, () => {
  let on: Stage;
  beforeAll(async () => {
    on = await stage();
  });
  afterAll(async () => on?.end());

  test('passes bytes both ways, half-closes, and ends with its exit code', async () => {
    const run = on.run(await on.shell('cat; exit 7'));
    run.stdin.end('hello\n');
    expect(await ended(run)).toMatchObject({ code: 7, stdout: Buffer.from('hello\n'), stderr: '' });
    expect(await leftovers(on)).toEqual({ containers: [], files: [] });
  });

  test('shows the server nothing of this machine', async () => {
    const script =
      'id -u; id -g; grep -E "^(CapEff|CapBnd|NoNewPrivs|Seccomp):" /proc/self/status; ls /sys/class/net; touch /x 2>&1; touch /tmp/a ~/b && echo writable; ls /run 2>&1; env';
    const run = on.run(await on.shell(script), { env: { MY_OWN_SECRET: 'secret' } });
    run.stdin.end();
    const { stdout } = await ended(run);
    const text = stdout.toString();
    expect(text).toMatch(/^65532\n65532\n/);
    expect(text).toMatch(/CapEff:\t0+\nCapBnd:\t0+\nNoNewPrivs:\t1\nSeccomp:\t2/);
    expect(text).toMatch(/\nlo\n/);
    expect(text).toMatch(/x: Read-only file system/);
    expect(text).toMatch(/writable/);
    expect(text).not.toMatch(/secret/i);
  });

  test('carries 10 MB messages both ways without a changed bit', async () => {
    const run = on.run(await on.shell('cat'));
    const message = randomBytes(10 * 1024 * 1024);
    const digest = createHash('sha256');
    let size = 0;
    run.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length;
      digest.update(chunk);
      if (size >= 3 * message.length) run.stdin.end();
    });
    const wanted = createHash('sha256');
    for (let turn = 0; turn < 3; turn += 1) {
      wanted.update(message);
      if (!run.stdin.write(message)) await new Promise((resolve) => run.stdin.once('drain', resolve));
    }
    expect((await ended(run)).code).toBe(0);
    expect(size).toBe(3 * message.length);
    expect(digest.digest('hex')).toBe(wanted.digest('hex'));
  });

  test('a flood of 1 GB and a slow reader cost no memory', async () => {
    const measure = async (script: string) => {
      const run = on.run(await on.shell(script), { report: true });
      run.stdin.end();
      let size = 0;
      let turns = 0;
      let stderr = '';
      run.stderr.on('data', (chunk: Buffer) => {
        stderr += chunk.toString();
      });
      run.stdout.on('data', (chunk: Buffer) => {
        size += chunk.length;
        turns += 1;
        // Now and then it does something else.
        if (turns % 500 === 0) {
          run.stdout.pause();
          setTimeout(() => run.stdout.resume(), 20);
        }
      });
      const code = await new Promise((resolve) => run.once('close', resolve));
      return { code, size, peak: Number(/peak (\d+)/.exec(stderr)?.[1]) / 1024 };
    };
    const idle = await measure('true');
    const flooded = await measure('dd if=/dev/zero bs=1M count=1024 2>/dev/null');
    console.log(`peak memory: ${Math.round(idle.peak)} MiB idle, ${Math.round(flooded.peak)} MiB with the flood`);
    expect(flooded).toMatchObject({ code: 0, size: 1024 ** 3 });
    // Compared with a run that does nothing: from source, Node also holds the compiler that strips types.
    expect(flooded.peak - idle.peak).toBeLessThan(24);
  });

  test('a reader that stops does not stop signals', async () => {
    const run = on.run(await on.shell('trap "exit 9" TERM; yes & wait'));
    await new Promise((resolve) => run.stdout.once('data', resolve));
    run.stdout.pause();
    await sleep(500);
    const begun = performance.now();
    run.kill('SIGTERM');
    await new Promise((resolve) => setTimeout(resolve, 300));
    run.stdout.resume();
    await ended(run);
    expect(performance.now() - begun).toBeLessThan(5_000);
    expect((await leftovers(on)).containers).toEqual([]);
  });

  test.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)('%s reaches a server that handles nothing', async (signal, code) => {
    const run = on.run(await on.shell('echo up; exec sleep 100'));
    await new Promise((resolve) => run.stdout.once('data', resolve));
    run.kill(signal);
    expect(await ended(run)).toMatchObject({ code, signal: null });
    expect((await leftovers(on)).containers).toEqual([]);
  });

  test('a server that ignores signals is killed', async () => {
    const run = on.run(await on.shell('trap "" TERM INT; echo up; while :; do sleep 1; done'));
    await new Promise((resolve) => run.stdout.once('data', resolve));
    const begun = performance.now();
    run.kill('SIGTERM');
    expect(await ended(run)).toMatchObject({ code: 137 });
    expect(performance.now() - begun).toBeLessThan(8_000);
  });

  test('a server that ignores the end of its input is stopped', async () => {
    const run = on.run(await on.shell('echo up; exec sleep 100'), { inputGrace: 500 });
    run.stdin.end();
    expect(await ended(run)).toMatchObject({ code: 0 });
  });

  test('a client that closes its end of stdout ends the run', async () => {
    const run = on.run(await on.shell('while :; do echo tick; sleep 0.05; done'));
    await new Promise((resolve) => run.stdout.once('data', resolve));
    run.stdout.destroy();
    expect(await new Promise((resolve) => run.once('exit', resolve))).toBe(0);
    expect((await leftovers(on)).containers).toEqual([]);
  });

  test('a program that is not there ends, and says so', async () => {
    const run = on.run(await on.image({ entrypoint: ['/no/such/program'] }));
    const { code, stderr } = await ended(run);
    expect(code).toBe(127);
    expect(stderr).toMatch(/no\/such\/program/);
    expect((await leftovers(on)).containers).toEqual([]);
  });

  test('two images that differ by one layer share the others', async () => {
    const one = await on.node('process.stdout.write("one")');
    const two = await on.node('process.stdout.write("two")');
    const run = async (image: typeof one) => {
      const child = on.run(image);
      child.stdin.end();
      return (await ended(child)).stdout.toString();
    };
    expect(await run(one)).toBe('one');
    const begun = performance.now();
    expect(await run(two)).toBe('two');
    console.log(`second image up and done in ${Math.round(performance.now() - begun)} ms`);
  });

  test('variables reach a Node server, and nobody who asks the daemon', async () => {
    const script = 'process.stdout.write(process.env.TOKEN); process.stdin.resume().on("end", () => process.exit())';
    const token = `tök"en'\n$(x) ${randomBytes(8).toString('hex')}`;
    const run = on.run(await on.node(script), {
      permissions: { environment: ['TOKEN'] },
      environment: { TOKEN: token },
    });
    const seen = await new Promise<Buffer>((resolve) => run.stdout.once('data', resolve));
    expect(seen.toString()).toBe(token);
    const [container] = await on.runtime.list({ 'io.mcp-build.role': 'server' });
    const hidden = token.slice(-16);
    expect(JSON.stringify(await on.runtime.inspect(container?.name ?? ''))).not.toContain(hidden);
    expect((await leftovers(on)).files).toEqual([]);
    for (const pid of await readdir('/proc')) {
      if (!/^\d+$/.test(pid) || Number(pid) === run.pid) continue;
      expect(await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).not.toContain(hidden);
    }
    run.stdin.end();
    expect((await ended(run)).code).toBe(0);
  });

  test('a volume has the same path inside, and only the rights it was given', async () => {
    const folder = join(await realpath(on.folder), 'share');
    await mkdir(folder);
    await writeFile(join(folder, 'in'), 'from outside');
    const { chown } = await import('node:fs/promises');
    if (process.getuid?.() === 0) await chown(folder, 1234, 1234);
    const script = `id -u; cat ${folder}/in; touch ${folder}/out 2>&1; echo; exec cat`;
    const go = async (mode: string) => {
      const run = on.run(await on.shell(script), { permissions: { volumes: [{ path: folder, mode }] } });
      run.stdin.end();
      return ended(run);
    };
    const user = process.getuid?.() === 0 ? 1234 : process.getuid?.();
    expect((await go('ro')).stdout.toString()).toMatch(
      new RegExp(`^${user}\nfrom outside.*Read-only file system`, 's'),
    );
    expect((await go('rw')).stdout.toString()).toMatch(new RegExp(`^${user}\nfrom outside\n$`));
    expect((await readdir(folder)).sort()).toEqual(['in', 'out']);
  });

  test('too much memory is the end of the server alone, and is explained', async () => {
    const run = on.run(await on.node('const a = []; for (;;) a.push(Buffer.alloc(1 << 24, 1))'), {
      limits: { memory: 96 * 1024 ** 2, cpus: 1, pids: 64, files: 256, tmp: 1 << 20, home: 1 << 20 },
    });
    run.stdin.end();
    const { code, stderr } = await ended(run);
    expect(code).toBe(137);
    expect(stderr).toMatch(/--memory/);
  });

  describe('nothing survives its client', () => {
    test('that is killed at any moment', async () => {
      const image = await on.shell('exec sleep 600');
      let slowest = 0;
      for (let turn = 0; turn < 16; turn += 1) {
        const run = on.run(image);
        // From before the first container request to long after the start.
        await sleep(150 + turn * 60);
        run.kill('SIGKILL');
        await new Promise((resolve) => run.once('exit', resolve));
        await sleep(300);
        slowest = Math.max(slowest, await until(async () => (await leftovers(on)).containers.length === 0, 5_000));
      }
      console.log(`slowest removal: ${Math.round(slowest + 300)} ms after the kill`);
      expect((await leftovers(on)).files).toEqual([]);
    });

    test('that is killed with everything it has started', async () => {
      const run = on.run(await on.shell('echo up; exec sleep 600'));
      await new Promise((resolve) => run.stdout.once('data', resolve));
      // What a client does that kills a tree of processes: children first found by their parent.
      for (const pid of await readdir('/proc')) {
        if (!/^\d+$/.test(pid)) continue;
        const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
        if (new RegExp(`^PPid:\t${run.pid}$`, 'm').test(status)) process.kill(Number(pid), 'SIGKILL');
      }
      run.kill('SIGKILL');
      await until(async () => (await leftovers(on)).containers.length === 0, 5_000);
    });
  });

  test('what was left when run and reaper were killed together goes with the next run', async () => {
    const image = await on.shell('echo up; exec sleep 600');
    const run = on.run(image);
    await new Promise((resolve) => run.stdout.once('data', resolve));
    const reapers: number[] = [];
    for (const pid of await readdir('/proc')) {
      const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
      if (words.includes(join(on.state, 'run', 'reaper.sock'))) reapers.push(Number(pid));
    }
    expect(reapers).toHaveLength(1);
    // Stopped first, so that neither sees the other go.
    process.kill(reapers[0] ?? 0, 'SIGSTOP');
    run.kill('SIGKILL');
    await new Promise((resolve) => run.once('exit', resolve));
    process.kill(reapers[0] ?? 0, 'SIGKILL');
    await sleep(1_000);
    expect((await leftovers(on)).containers).toHaveLength(1);
    const next = on.run(await on.shell('cat'));
    next.stdin.end();
    expect((await ended(next)).code).toBe(0);
    await until(async () => (await leftovers(on)).containers.length === 0, 5_000);
  });

  test('a daemon behind ssh is used as one on this machine, and what is killed is removed over there', async () => {
    // A login that leads back here, and runs what it is told to: docker's own `system dial-stdio`.
    const folder = join(on.folder, 'ssh');
    await mkdir(folder);
    const script = `#!/bin/sh
echo "$@" >> ${folder}/log
while [ "$1" != -- ]; do shift; done
shift 2
export PATH=/usr/local/bin:/usr/bin:/bin DOCKER_HOST=${on.daemon.host}
exec "$@"
`;
    await writeFile(join(folder, 'ssh'), script, { mode: 0o755 });
    const far = { host: 'ssh://me@far.example.test', env: { PATH: `${folder}:${process.env.PATH}` } };
    const run = on.run(await on.shell('cat; exit 7'), far);
    const message = randomBytes(4 * 1024 * 1024);
    run.stdin.end(message);
    const { code, stdout, stderr } = await ended(run);
    expect([code, stderr, stdout.equals(message)]).toEqual([7, '', true]);
    expect(await readFile(join(folder, 'log'), 'utf8')).toContain('-l me -- far.example.test docker system dial-stdio');
    const killed = on.run(await on.shell('echo up; exec sleep 600'), far);
    await new Promise((resolve) => killed.stdout.once('data', resolve));
    killed.kill('SIGKILL');
    await until(async () => (await leftovers(on)).containers.length === 0, 30_000);
  });

  test('a daemon that is killed while servers run leaves nothing of them once it is back', async () => {
    const image = await on.shell('echo up; exec sleep 631');
    const runs = [1, 2, 3].map(() => on.run(image));
    const ends = runs.map(ended);
    await Promise.all(runs.map((run) => new Promise((resolve) => run.stdout.once('data', resolve))));
    const inside = await sleepers();
    expect(inside).toHaveLength(3);
    if (!(await on.daemon.restart('SIGKILL'))) {
      for (const run of runs) run.kill('SIGTERM');
      await Promise.all(ends);
      return;
    }
    for (const { code, stderr } of await Promise.all(ends)) {
      expect(code).toBe(1);
      expect(stderr).toContain('docker-lost');
    }
    await until(async () => (await leftovers(on)).containers.length === 0, 60_000);
    expect((await leftovers(on)).files).toEqual([]);
    // What ran goes with its container, though the daemon that started it didn't live to see it.
    await until(async () => (await sleepers()).every((pid) => !inside.includes(pid)), 30_000);
    const next = on.run(await on.shell('cat'));
    next.stdin.end('again');
    const after = await ended(next);
    expect([after.code, after.stdout.toString()]).toEqual([0, 'again']);
  });

  test('200 starts leave nothing behind', async () => {
    const image = await on.shell('cat');
    const networks = async () => {
      const { engine } = await import('../../runner/engine.ts');
      const { body } = await engine(on.runtime.endpoint).request('GET', '/networks');
      const volumes = await engine(on.runtime.endpoint).request('GET', '/volumes');
      return [
        (JSON.parse(body.toString()) as unknown[]).length,
        JSON.parse(volumes.body.toString()).Volumes?.length ?? 0,
      ];
    };
    const before = await networks();
    const { openLayout } = await import('../../registry/index.ts');
    const { docker, reaper, runContainer, NO_PERMISSIONS } = await import('../../runner/index.ts');
    const { PassThrough } = await import('node:stream');
    const store = await openLayout(join(on.folder, 'store'));
    const watcher = reaper({ folder: join(on.state, 'run'), idle: 3_000 });
    const runtime = docker(on.runtime.endpoint);
    const once = async (at: number) => {
      const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
      streams.stdin.end(`${at}`);
      const result = await runContainer({
        runtime,
        store,
        image,
        server: { name: 'many' },
        permissions: NO_PERMISSIONS,
        args: [],
        environment: {},
        reaper: watcher,
        machine: {
          home: '/root',
          state: on.state,
          run: join(on.state, 'run'),
          environment: {},
          uid: process.getuid?.(),
          gid: process.getgid?.(),
        },
        say: () => undefined,
        streams,
      });
      expect(result.exitCode).toBe(0);
      expect(streams.stdout.read()?.toString()).toBe(`${at}`);
    };
    await once(-1);
    const files = (await readdir('/proc/self/fd')).length;
    let next = 0;
    const begun = performance.now();
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        while (next < 200) await once(next++);
      }),
    );
    console.log(`200 runs in ${Math.round(performance.now() - begun)} ms`);
    await sleep(200);
    expect(await leftovers(on)).toEqual({ containers: [], files: [] });
    expect(await networks()).toEqual(before);
    // Kept connections to the daemon, one for each that ran at once.
    expect((await readdir('/proc/self/fd')).length).toBeLessThanOrEqual(files + 12);
  });
});

/** Processes of this machine that are the server of the test of a killed daemon. */
async function sleepers(): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (line === 'sleep\x00631\x00') found.push(pid);
  }
  return found;
}
