import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Entry,
  type NpmArtifact,
  type Platform,
  parseSource,
  type Resolution,
  type ResolveOptions,
} from '../../../builders/index.ts';
import { npm } from '../../../builders/npm/index.ts';
import { verified } from '../../../digest/index.ts';
import { type FakeRegistry, npmRegistry, type RegistryOptions, type Release } from '../../fakes/npm-registry.ts';

export const BOTH: readonly Platform[] = ['linux/amd64', 'linux/arm64'];
export const BEFORE = new Date('2026-01-01T00:00:00.000Z');

/** A person's machine with a registry of their own: nothing of the real machine's npm configuration gets in. */
export interface World {
  readonly registry: FakeRegistry;
  readonly folder: string;
  readonly options: ResolveOptions;
  readonly lines: readonly string[];
  resolve(source: string, more?: Partial<ResolveOptions>, platforms?: readonly Platform[]): Promise<Resolution>;
  /** Another environment object, so that the configuration is read again. */
  configured(npmrc: string, more?: Partial<ResolveOptions>): Promise<ResolveOptions>;
  [Symbol.asyncDispose](): Promise<void>;
}

export async function world(options: RegistryOptions = {}, npmrc = ''): Promise<World> {
  const registry = await npmRegistry(options);
  const folder = await mkdtemp(join(tmpdir(), 'mcp-build-npm-'));
  const lines: string[] = [];
  let count = 0;
  const configured = async (text: string, more: Partial<ResolveOptions> = {}): Promise<ResolveOptions> => {
    const file = join(folder, `npmrc-${count++}`);
    await writeFile(file, text);
    return {
      cache: join(folder, 'cache'),
      before: BEFORE,
      workspace: undefined,
      environment: {
        HOME: folder,
        PATH: join(folder, 'bin'),
        npm_config_userconfig: file,
        npm_config_globalconfig: join(folder, 'global-npmrc'),
      },
      progress: (line) => lines.push(line),
      ...more,
    };
  };
  const base = await configured(`registry=${registry.url}\nfetch-retry-mintimeout=5\nfetch-timeout=400\n${npmrc}\n`);
  return {
    registry,
    folder,
    options: base,
    lines,
    configured,
    resolve: (source, more = {}, platforms = BOTH) => npm.resolve(parseSource(source), platforms, { ...base, ...more }),
    async [Symbol.asyncDispose]() {
      await registry.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A package that can be started, with the given dependencies and whatever else. */
export function server(more: Partial<Release> & { dependencies?: Record<string, string> } = {}): Release {
  const { dependencies, manifest, ...rest } = more;
  return {
    name: 'hello-mcp',
    version: '1.0.0',
    manifest: { bin: { 'hello-mcp': 'cli.js' }, ...(dependencies ? { dependencies } : {}), ...manifest },
    files: { 'cli.js': '#!/usr/bin/env node\nconsole.log(1)\n' },
    ...rest,
  };
}

export function filesOf(resolution: Resolution, platform: Platform = 'linux/amd64'): readonly NpmArtifact[] {
  return (resolution.layers[platform] ?? []).flatMap((layer) => layer.files.filter((file) => file.kind === 'npm'));
}

export interface Baked {
  readonly type: Entry['type'];
  readonly mode?: number | undefined;
  /** A file's text, a link's target. */
  readonly text: string;
}

export async function baked(
  resolution: Resolution,
  options: ResolveOptions,
  platform: Platform = 'linux/amd64',
): Promise<Map<string, Baked>> {
  const tree = new Map<string, Baked>();
  for (const layer of resolution.layers[platform] ?? []) {
    const entries = npm.bake(layer, platform, (artifact) =>
      verified(npm.fetch(artifact as NpmArtifact, options), { name: artifact.name, integrity: artifact.integrity }),
    );
    for (const [path, entry] of await readEntries(entries)) tree.set(path, entry);
  }
  return tree;
}

export async function readEntries(entries: AsyncIterable<Entry>): Promise<Map<string, Baked>> {
  const tree = new Map<string, Baked>();
  for await (const entry of entries) {
    if (tree.has(entry.path)) throw new Error(`${entry.path} is there twice`);
    if (entry.type === 'symlink') tree.set(entry.path, { type: 'symlink', text: entry.target });
    else if (entry.type === 'file') {
      const chunks: Uint8Array[] = [];
      for await (const chunk of entry.content instanceof Uint8Array ? [entry.content] : entry.content)
        chunks.push(Uint8Array.from(chunk));
      const bytes = Buffer.concat(chunks);
      if (bytes.length !== entry.size)
        throw new Error(`${entry.path} has ${bytes.length} bytes instead of ${entry.size}`);
      tree.set(entry.path, { type: 'file', mode: entry.mode, text: bytes.toString('latin1') });
    }
  }
  return tree;
}
