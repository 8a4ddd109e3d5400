import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { type Entry, writeLayer } from '../../builders/index.ts';
import type { Digest } from '../../digest/index.ts';
import { type Descriptor, imageConfig, imageManifest, type Store } from '../../registry/index.ts';

/** A layer in a store, for images made by hand. */
export interface TestLayer {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
}

export interface TestImage {
  readonly env?: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd?: readonly string[];
  readonly volumes?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly user?: string;
}

export async function putLayer(store: Store, entries: readonly Entry[]): Promise<TestLayer> {
  const chunks: Uint8Array[] = [];
  const written = writeLayer(withParents(entries));
  for await (const chunk of written.blob) chunks.push(chunk);
  const { digest, diffId, size } = await written.layer;
  const descriptor = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest, size };
  await store.write(descriptor, stream(chunks));
  return { descriptor, diffId };
}

/** An image's manifest in a store. */
export async function putImage(store: Store, layers: readonly TestLayer[], image: TestImage): Promise<Descriptor> {
  const config = imageConfig({
    created: '2026-01-01T00:00:00Z',
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    config: {
      User: image.user ?? '65532:65532',
      Env: [...(image.env ?? ['PATH=/bin:/usr/bin:/usr/local/bin', 'HOME=/home/nonroot'])],
      Entrypoint: [...image.entrypoint],
      ...(image.cmd ? { Cmd: [...image.cmd] } : {}),
      ...(image.volumes ? { Volumes: Object.fromEntries(image.volumes.map((path) => [path, {}])) } : {}),
      Labels: { 'org.opencontainers.image.title': 'fixture' },
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
  });
  await store.write(config.descriptor, stream([config.bytes]));
  const manifest = imageManifest({
    config: config.descriptor,
    layers: layers.map(({ descriptor }) => descriptor),
    ...(image.annotations ? { annotations: image.annotations } : {}),
  });
  return store.writeManifest(manifest.bytes, manifest.descriptor.mediaType);
}

/** Files of this machine under the same or another name: a program, and what it is linked with. */
export async function fileEntry(source: string, path: string, mode = 0o755): Promise<Entry> {
  const { size } = await stat(source);
  return { type: 'file', path, mode, size, content: createReadStream(source) };
}

export function textEntry(path: string, text: string, mode = 0o644): Entry {
  const content = Buffer.from(text);
  return { type: 'file', path, mode, size: content.length, content };
}

/** A program with its shared libraries and loader, as `ldd` finds them. */
export async function programEntries(program: string, path: string): Promise<Entry[]> {
  const { stdout } = await promisify(execFile)('ldd', [program]);
  const libraries = new Set([...stdout.matchAll(/(\/[^\s()]+)/g)].map((match) => match[1] ?? ''));
  const entries = [await fileEntry(await realpath(program), path)];
  for (const library of libraries) entries.push(await fileEntry(await realpath(library), library.slice(1)));
  return entries;
}

/** BusyBox with the applets that the tests use, and the few files a program expects. */
export async function busyboxEntries(): Promise<Entry[]> {
  const applets = [
    ...[
      'sh',
      'cat',
      'ls',
      'echo',
      'sleep',
      'id',
      'true',
      'false',
      'dd',
      'wget',
      'nc',
      'mount',
      'touch',
      'ping',
      'nslookup',
    ],
    ...[
      'yes',
      'head',
      'sha256sum',
      'env',
      'kill',
      'ps',
      'mkdir',
      'chmod',
      'su',
      'ip',
      'unshare',
      'mknod',
      'stat',
      'wc',
    ],
  ];
  return [
    await fileEntry('/bin/busybox', 'bin/busybox'),
    ...applets.map((name): Entry => ({ type: 'symlink', path: `bin/${name}`, target: 'busybox' })),
    textEntry('etc/passwd', 'root:x:0:0:root:/:/bin/sh\nnonroot:x:65532:65532:nonroot:/home/nonroot:/bin/sh\n'),
    textEntry('etc/group', 'root:x:0:\nnonroot:x:65532:\n'),
    { type: 'directory', path: 'home/nonroot', mode: 0o700, uid: 65532, gid: 65532 },
    { type: 'directory', path: 'tmp', mode: 0o1777 },
  ];
}

function withParents(entries: readonly Entry[]): Entry[] {
  const made = new Set(entries.filter(({ type }) => type === 'directory').map(({ path }) => path));
  const all: Entry[] = [];
  for (const entry of entries) {
    const parts = entry.path.split('/').slice(0, -1);
    parts.forEach((_, at) => {
      const path = parts.slice(0, at + 1).join('/');
      if (made.has(path)) return;
      made.add(path);
      all.push({ type: 'directory', path });
    });
    all.push(entry);
  }
  return all;
}

async function* stream(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}
