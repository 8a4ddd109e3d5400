import { readdir, readFile, stat } from 'node:fs/promises';
import { PassThrough, Writable } from 'node:stream';
import { afterEach, describe, expect, test } from 'vitest';
import { runContainer, type Signals } from '../../runner/index.ts';
import type { FakeOptions } from '../fakes/docker.ts';
import { putImage } from '../fakes/docker-image.ts';
import { fixture, text } from './fixture.ts';

let open: Awaited<ReturnType<typeof fixture>>[] = [];
afterEach(async () => {
  await Promise.all(open.map((one) => one.end()));
  open = [];
});
async function setup(options: FakeOptions = {}) {
  const made = await fixture(options);
  open.push(made);
  return made;
}

function signals() {
  let listener: Parameters<Signals>[0] = () => undefined;
  let subscribed = false;
  const source: Signals = (given) => {
    listener = given;
    subscribed = true;
    return () => {
      subscribed = false;
    };
  };
  return { source, send: (signal: 'SIGINT' | 'SIGTERM') => listener(signal), subscribed: () => subscribed };
}

describe('a run', () => {
  test('passes bytes both ways unchanged, ends with its input, and leaves nothing', async () => {
    const { options, streams, daemon, guarded, released, folder } = await setup();
    const message = Buffer.from(Array.from({ length: 100_000 }, (_, at) => at % 256));
    const out = text(streams.stdout);
    const running = runContainer(options);
    streams.stdin.end(message);
    expect(await running).toEqual({ exitCode: 0, reason: 'exited' });
    streams.stdout.end();
    expect(await out).toBe(message.toString('utf8'));
    expect(daemon.containers.size).toBe(0);
    expect(guarded).toHaveLength(1);
    expect(released()).toBe(1);
    expect((await readdir(folder)).filter((name) => name.startsWith('mcp-build-'))).toEqual([]);
  });

  test('asks in the one order in which nothing is lost', async () => {
    const { options, streams, daemon } = await setup();
    streams.stdin.end();
    await runContainer(options);
    const steps = daemon.requests
      .map((line) => /\/containers\/[^/?]*(?:\/(attach|wait|start|json))?|create/.exec(line))
      .flatMap((match) => (match ? [match[1] ?? (match[0].includes('create') ? 'create' : 'remove')] : []));
    expect(steps).toEqual(['create', 'json', 'attach', 'wait', 'start', 'json', 'remove']);
  });

  test('creates what was verified, by its digest and never by a name', async () => {
    const { options, streams, daemon } = await setup({
      program: async ({ spec, stdout }) => {
        await stdout(spec.Image);
        return 0;
      },
    });
    streams.stdin.end();
    const out = text(streams.stdout);
    await runContainer(options);
    streams.stdout.end();
    expect([...daemon.images.keys()]).toEqual([await out]);
  });

  test.each([0, 1, 3, 127, 137])('ends with exit code %i as the server does', async (code) => {
    const { options } = await setup({ program: async () => code });
    expect(await runContainer(options)).toEqual({ exitCode: code, reason: 'exited' });
  });

  test('passes stderr on, and not to stdout', async () => {
    const { options, streams } = await setup({
      program: async ({ stderr, stdout }) => {
        await stderr('log\n');
        await stdout('{"jsonrpc":"2.0"}\n');
        return 0;
      },
    });
    const [out, err] = [text(streams.stdout), text(streams.stderr)];
    await runContainer(options);
    streams.stdout.end();
    streams.stderr.end();
    expect([await out, await err]).toEqual(['{"jsonrpc":"2.0"}\n', 'log\n']);
  });

  test('holds the server back while its client reads slowly', async () => {
    let written = 0;
    const { options, streams } = await setup({
      program: async ({ stdout }) => {
        for (let turn = 0; turn < 400; turn += 1) {
          await stdout(Buffer.alloc(65_536));
          written += 65_536;
        }
        return 0;
      },
    });
    let read = 0;
    let slowest = 0;
    const stdout = new Writable({
      highWaterMark: 1024,
      write(chunk: Buffer, _encoding, done) {
        read += chunk.length;
        slowest = Math.max(slowest, written - read);
        setImmediate(done);
      },
    });
    expect((await runContainer({ ...options, streams: { ...streams, stdout } })).exitCode).toBe(0);
    expect(read).toBe(400 * 65_536);
    // What lies between them are the buffers of two sockets, not the 26 MB.
    expect(slowest).toBeLessThan(4 * 1024 * 1024);
  });

  test('goes on when nobody reads its stderr', async () => {
    const { options, streams } = await setup({
      program: async ({ stderr, stdout }) => {
        for (let turn = 0; turn < 100; turn += 1) await stderr(Buffer.alloc(65_536, 'x'));
        await stdout('done');
        return 0;
      },
    });
    const stderr = new Writable({ write: () => undefined });
    const out = text(streams.stdout);
    expect((await runContainer({ ...options, streams: { ...streams, stderr } })).exitCode).toBe(0);
    streams.stdout.end();
    expect(await out).toBe('done');
    expect(stderr.writableLength).toBeLessThan(2 * 1024 * 1024);
  });

  test('forwards a signal, and answers with what the server made of it', async () => {
    const { source, send, subscribed } = signals();
    const seen: string[] = [];
    const { options, streams } = await setup({
      program: async ({ stdout, killed }) => {
        await stdout('up');
        seen.push(await killed);
        return 42;
      },
    });
    streams.stdout.once('data', () => send('SIGTERM'));
    expect(await runContainer({ ...options, signals: source })).toEqual({ exitCode: 42, reason: 'signal' });
    expect(seen).toEqual(['SIGTERM']);
    expect(subscribed()).toBe(false);
  });

  test('kills at once when it is asked a second time', async () => {
    const { source, send } = signals();
    const { options, streams, daemon } = await setup({
      answer: (method, path) =>
        method === 'POST' && path.endsWith('signal=SIGTERM') ? { status: 204, body: '' } : undefined,
      program: async ({ stdout, killed }) => {
        await stdout('up');
        await killed;
        return 137;
      },
    });
    streams.stdout.once('data', () => {
      send('SIGTERM');
      setTimeout(send, 50, 'SIGTERM');
    });
    expect(await runContainer({ ...options, signals: source })).toMatchObject({ exitCode: 137 });
    expect(daemon.requests.filter((line) => line.includes('/kill')).map((line) => line.split('signal=')[1])).toEqual([
      'SIGTERM',
      'SIGKILL',
    ]);
  });

  test('that is interrupted before its server is up starts none', async () => {
    const { source, send } = signals();
    const { options, daemon } = await setup({
      answer: (_method, path) => {
        if (path === '/info') send('SIGINT');
        return undefined;
      },
    });
    expect(await runContainer({ ...options, signals: source })).toEqual({ exitCode: 130, reason: 'signal' });
    expect(daemon.requests.some((line) => line.endsWith('/start'))).toBe(false);
    expect(daemon.containers.size).toBe(0);
  });

  test('stops a server that ignores the end of its input', async () => {
    const { options, streams } = await setup({
      program: async ({ stdout, killed }) => {
        await stdout('late');
        await killed;
        return 143;
      },
    });
    streams.stdin.end();
    expect(await runContainer({ ...options, inputGrace: 200 })).toEqual({ exitCode: 0, reason: 'input-ended' });
  });

  test('lets a server answer after the end of its input', async () => {
    const { options, streams } = await setup({
      program: async ({ stdin, stdout }) => {
        for await (const _ of stdin);
        for (let turn = 0; turn < 5; turn += 1) {
          await new Promise((resolve) => setTimeout(resolve, 150));
          await stdout(`${turn}`);
        }
        return 0;
      },
    });
    const out = text(streams.stdout);
    streams.stdin.end();
    expect(await runContainer({ ...options, inputGrace: 400 })).toEqual({ exitCode: 0, reason: 'exited' });
    streams.stdout.end();
    expect(await out).toBe('01234');
  });

  test('ends when its client no longer reads', async () => {
    const { options, streams } = await setup({
      program: async ({ stdout, killed }) => {
        const timer = setInterval(() => void stdout('tick\n'), 20);
        await killed;
        clearInterval(timer);
        return 143;
      },
    });
    let writes = 0;
    const stdout = new Writable({
      write(_chunk, _encoding, done) {
        writes += 1;
        done(writes > 3 ? Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }) : null);
      },
    });
    expect(await runContainer({ ...options, streams: { ...streams, stdout } })).toEqual({
      exitCode: 0,
      reason: 'client-gone',
    });
  });
});

describe('a run is refused', () => {
  test.each<[string, FakeOptions, string]>([
    [
      'when the daemon built other walls',
      { inspect: (answer) => ({ ...answer, HostConfig: { ...(answer.HostConfig as object), ReadonlyRootfs: false } }) },
      'walls-differ',
    ],
    [
      'when another image was created',
      { inspect: (answer) => ({ ...answer, Image: `sha256:${'0'.repeat(64)}` }) },
      'walls-differ',
    ],
    ['when the daemon has no seccomp', { info: { SecurityOptions: [] } }, 'daemon-incapable'],
    ['when it can not count processes', { info: { PidsLimit: false } }, 'daemon-incapable'],
    ['when it can not limit memory', { info: { MemoryLimit: false } }, 'daemon-incapable'],
    [
      'when it is rootless and was given no cgroups',
      {
        info: {
          ...{ MemoryLimit: false, PidsLimit: false, CpuCfsQuota: false },
          SecurityOptions: ['name=seccomp,profile=default', 'name=rootless'],
        },
      },
      'daemon-incapable',
    ],
    [
      'when it drops a limit without having said so',
      { inspect: (answer) => ({ ...answer, HostConfig: { ...(answer.HostConfig as object), PidsLimit: null } }) },
      'walls-differ',
    ],
    ['when it speaks an API from before 20.10', { api: '1.40' }, 'docker-too-old'],
    [
      'when it does not start',
      {
        answer: (_method, path) =>
          path.endsWith('/start') ? { status: 400, body: { message: 'exec: not found' } } : undefined,
      },
      'start-failed',
    ],
    [
      'when it can not be created',
      {
        answer: (_method, path) =>
          path.includes('/create')
            ? { status: 400, body: { message: 'invalid mount config: bind source path does not exist' } }
            : undefined,
      },
      'docker-failed',
    ],
    [
      'when the image is not taken',
      { load: () => '{"stream":"x"}\n{"errorDetail":{"message":"no space left on device"},"error":"no space"}\n' },
      'docker-failed',
    ],
    ['when another image arrived', { load: () => '{"stream":"Loaded image"}\n' }, 'image-mismatch'],
    ['when what listens is no daemon', { answer: () => ({ status: 200, body: '<html>' }) }, 'docker-failed'],
  ])('%s, and nothing is left', async (_name, fake, code) => {
    const { options, daemon, guarded, released } = await setup(fake);
    await expect(runContainer(options)).rejects.toMatchObject({ code });
    expect(daemon.containers.size).toBe(0);
    expect(released()).toBe(guarded.length);
    expect(daemon.requests.filter((line) => line.endsWith('/start')).length).toBe(code === 'start-failed' ? 1 : 0);
  });

  test('or told to be without a limit of swap, where the kernel counts none', async () => {
    const { options, streams, said } = await setup({ info: { SwapLimit: false } });
    streams.stdin.end();
    expect((await runContainer(options)).exitCode).toBe(0);
    expect(said).toEqual([expect.stringContaining('swap')]);
  });

  test('when it is given a variable that was not declared', async () => {
    const { options } = await setup();
    await expect(runContainer({ ...options, environment: { TOKEN: 'x' } })).rejects.toMatchObject({
      code: 'environment-undeclared',
      exit: 2,
    });
  });

  test('when the daemon goes away under it', async () => {
    const { options, daemon, streams, abandoned } = await setup({
      program: async ({ stdout }) => {
        await stdout('up');
        return new Promise(() => undefined);
      },
    });
    streams.stdout.once('data', () => void daemon.stop());
    await expect(runContainer(options)).rejects.toMatchObject({ code: 'docker-lost', exit: 1 });
    expect(abandoned()).toBe(1);
  });
});

describe('hints', () => {
  test.each([
    ["Error: EROFS: read-only file system, mkdir '/data/cache'", /--volume \/data:rw/],
    ["OSError: [Errno 30] Read-only file system: '/data/x.db'", /--volume \/data:rw/],
    ['Error: getaddrinfo EAI_AGAIN api.example.test', /--allow-net/],
    ['connect ENETUNREACH 192.0.2.1:443', /--allow-net/],
    ['Error: EXAMPLE_API_KEY environment variable is required', /--env EXAMPLE_API_KEY/],
    ["KeyError: 'EXAMPLE_TOKEN'", /--env EXAMPLE_TOKEN/],
    ["ENOENT: no such file or directory, open '/srv/notes/x'", /--volume \/srv\/notes\/x/],
  ])('name the flag for "%s"', async (line, wanted) => {
    const { options, said } = await setup({
      program: async ({ stderr }) => {
        // Cut in the middle, as frames are.
        await stderr(`starting\n${line.slice(0, 10)}`);
        await stderr(`${line.slice(10)}\n`);
        return 1;
      },
    });
    await runContainer(options);
    expect(said).toEqual([expect.stringMatching(wanted)]);
  });

  test('are not given for a server that was well', async () => {
    const { options, said } = await setup({
      program: async ({ stderr }) => {
        await stderr('EXAMPLE_API_KEY is not set, using the free tier\n');
        return 0;
      },
    });
    await runContainer(options);
    expect(said).toEqual([]);
  });
});

describe('variables', () => {
  test('reach a server without the daemon hearing of their values', async () => {
    let file = { content: '', mode: 0 };
    const { options, store, layers, daemon, folder } = await setup({
      inspect: (answer) => answer,
      program: async ({ spec }) => {
        const source = spec.HostConfig.Mounts?.[0]?.Source ?? '';
        // The real one holds the file open by its mount; here it may be gone already.
        return source.startsWith(folder) ? 0 : 1;
      },
      answer: (_method, path) => {
        if (path.endsWith('/start')) void capture();
        return undefined;
      },
    });
    const capture = async () => {
      const source = [...daemon.containers.values()][0]?.spec.HostConfig.Mounts?.[0]?.Source ?? '';
      file = { content: await readFile(source, 'utf8'), mode: (await stat(source)).mode & 0o777 };
    };
    const image = await putImage(store, layers, {
      env: ['PATH=/bin', 'HOME=/home/nonroot'],
      entrypoint: ['/usr/local/bin/node', '/app/server.js'],
    });
    const secret = 'a "quoted" \\ value\nof two lines, with ünïcode \u{1f511}';
    const created: string[] = [];
    const watch = daemon.containers as unknown as Map<string, { spec: unknown }>;
    const set = watch.set.bind(watch);
    watch.set = (name, container) => {
      created.push(JSON.stringify(container.spec));
      return set(name, container);
    };
    const result = await runContainer({
      ...options,
      image,
      permissions: { ...options.permissions, environment: ['TOKEN'] },
      environment: { TOKEN: secret },
    });
    expect(result.exitCode).toBe(0);
    expect(created.join()).toContain('/run/mcp-build/environment.cjs');
    expect(created.join()).not.toContain('quoted');
    expect(created.join()).not.toContain('TOKEN');
    const env: Record<string, string> = {};
    new Function('process', file.content)({ env });
    expect(env).toEqual({ TOKEN: secret });
    expect(file.mode).toBe(process.getuid?.() === 0 ? 0o400 : 0o444);
    expect((await readdir(folder)).filter((name) => name.startsWith('mcp-build-'))).toEqual([]);
  });

  test('are refused where they would have to be shown', async () => {
    const { options } = await setup();
    await expect(
      runContainer({
        ...options,
        permissions: { ...options.permissions, environment: ['TOKEN'] },
        environment: { TOKEN: 'x' },
      }),
    ).rejects.toMatchObject({ code: 'environment-undeliverable' });
  });
});

describe('images', () => {
  test('are sent once, and only with the layers that the daemon lacks', async () => {
    const { options, store, layers, daemon } = await setup({ program: async () => 0 });
    await runContainer(options);
    await runContainer(options);
    expect(daemon.loads).toHaveLength(1);
    const next = await putImage(store, layers, {
      env: ['PATH=/bin', 'HOME=/home/nonroot'],
      entrypoint: ['/bin/server'],
      cmd: ['other'],
    });
    await runContainer({ ...options, image: next });
    const blobs = daemon.loads.map((files) => files.filter((name) => name.startsWith('blobs/')).length);
    // Manifest and config, with two layers and without.
    expect(blobs).toEqual([4, 2]);
  });

  test('are sent in full to a daemon that has lost a layer', async () => {
    const { options, store, layers, daemon } = await setup({
      program: async () => 0,
      load: (files) =>
        (files.filter((name) => name.startsWith('blobs/')).length < 4 && daemon.loads.length === 2
          ? '{"error":"layer not known"}'
          : undefined) as string,
    });
    await runContainer(options);
    const next = await putImage(store, layers, {
      env: ['PATH=/bin', 'HOME=/home/nonroot'],
      entrypoint: ['/bin/server'],
      cmd: ['other'],
    });
    await runContainer({ ...options, image: next });
    expect(daemon.loads.map((files) => files.filter((name) => name.startsWith('blobs/')).length)).toEqual([4, 2, 4]);
  });

  test("are known by their manifest's digest in containerd's store", async () => {
    const { options, daemon, image } = await setup({ containerd: true, program: async () => 0 });
    await runContainer(options);
    expect([...daemon.images.keys()]).toEqual([image.digest]);
  });

  test('whose bytes are not those of their digest never reach the daemon', async () => {
    const { options, store, daemon, layers } = await setup();
    const { writeFile, chmod } = await import('node:fs/promises');
    const path = store.pathOf(layers[1]!.descriptor.digest);
    await chmod(path, 0o644);
    await writeFile(path, Buffer.alloc(layers[1]!.descriptor.size));
    await expect(runContainer(options)).rejects.toMatchObject({ code: 'integrity' });
    expect(daemon.images.size).toBe(0);
    expect(daemon.containers.size).toBe(0);
  });
});

test('a stdin that has already ended ends the run', async () => {
  const { options, streams } = await setup();
  const stdin = new PassThrough();
  stdin.end();
  stdin.resume();
  await new Promise((resolve) => stdin.once('end', resolve));
  expect(await runContainer({ ...options, streams: { ...streams, stdin } })).toEqual({ exitCode: 0, reason: 'exited' });
});
