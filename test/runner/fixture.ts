import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { openLayout } from '../../registry/index.ts';
import { docker, type Machine, NO_PERMISSIONS, type RunOptions } from '../../runner/index.ts';
import { type FakeOptions, fakeDocker } from '../fakes/docker.ts';
import { putImage, putLayer, textEntry } from '../fakes/docker-image.ts';

export async function fixture(options: FakeOptions = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'runner-'));
  const daemon = await fakeDocker(options);
  const store = await openLayout(join(folder, 'store'));
  const layers = [
    await putLayer(store, [textEntry('base', 'base')]),
    await putLayer(store, [textEntry('server', 'server')]),
  ];
  const image = await putImage(store, layers, { entrypoint: ['/bin/server'] });
  const machine: Machine = {
    home: join(folder, 'user'),
    state: join(folder, 'state'),
    run: join(folder, 'state', 'run'),
    environment: { XDG_RUNTIME_DIR: folder },
    uid: process.getuid?.(),
    gid: process.getgid?.(),
  };
  const said: string[] = [];
  const guarded: unknown[] = [];
  let released = 0;
  let abandoned = 0;
  const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
  const base: RunOptions = {
    runtime: docker(daemon.endpoint),
    store,
    image,
    server: { name: 'fixture', version: '1.0.0' },
    permissions: NO_PERMISSIONS,
    args: [],
    environment: {},
    reaper: {
      async guard(what) {
        guarded.push(what);
        return {
          async release() {
            released += 1;
          },
          abandon() {
            abandoned += 1;
          },
        };
      },
    },
    machine,
    say: (line) => said.push(line),
    streams,
  };
  return {
    folder,
    daemon,
    store,
    layers,
    image,
    machine,
    said,
    guarded,
    streams,
    released: () => released,
    abandoned: () => abandoned,
    options: base,
    async end() {
      await daemon.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export async function text(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
