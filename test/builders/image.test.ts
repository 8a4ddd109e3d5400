import { describe, expect, it } from 'vitest';
import { assemble, assembleIndex, type Lock, lockDigest } from '../../builders/index.ts';
import { sha256 } from '../../digest/index.ts';
import { lock } from './sample-lock.ts';

const layers = [{ diffId: sha256('tar'), digest: sha256('gzip'), size: 4, createdBy: 'mcp-build npm/1 server' }];

function json(bytes: Uint8Array) {
  return JSON.parse(Buffer.from(bytes).toString('utf8'));
}

describe('assemble', () => {
  it('gives a non-root image in exec form that names its server', () => {
    const { config, manifest } = assemble(lock, 'linux/arm64', layers);
    expect(json(config.bytes)).toMatchObject({
      architecture: 'arm64',
      os: 'linux',
      created: lock.created,
      config: {
        User: '65532:65532',
        Entrypoint: lock.entrypoint,
        Labels: { 'io.modelcontextprotocol.server.name': 'memory' },
      },
      rootfs: { type: 'layers', diff_ids: [layers[0]!.diffId] },
    });
    expect(json(manifest.bytes)).toMatchObject({
      config: { digest: sha256(config.bytes), size: config.bytes.length },
      layers: [{ digest: layers[0]!.digest, size: 4 }],
      annotations: { 'org.opencontainers.image.version': '1.2.3', 'io.mcp-build.source': 'npm:@example/memory' },
    });
    expect(manifest.digest).toBe(sha256(manifest.bytes));
  });

  it('puts the bridge before the entrypoint of a server that is locked for HTTP, and changes nothing of others', () => {
    const { config } = assemble({ ...lock, transport: 'http' }, 'linux/amd64', layers);
    expect(json(config.bytes).config).toMatchObject({
      Entrypoint: ['/usr/local/bin/node', '/usr/local/lib/mcp-build/bridge.mjs', ...lock.entrypoint],
      ExposedPorts: { '8080/tcp': {} },
      User: '65532:65532',
    });
    expect(json(assemble(lock, 'linux/amd64', layers).config.bytes).config).not.toHaveProperty('ExposedPorts');
    expect(lockDigest({ ...lock, transport: 'http' })).not.toBe(lockDigest(lock));
  });

  it('depends on nothing of another platform, nor on what a build wrote into the lock', () => {
    const wider: Lock = {
      ...lock,
      platforms: { ...lock.platforms, 'linux/arm64': { layers: [] } },
      compressor: 'x',
      index: sha256('x'),
    };
    expect(assemble(wider, 'linux/amd64', layers)).toEqual(assemble(lock, 'linux/amd64', layers));
  });

  it('keeps a foreign base’s layers before ours, its variables, and its digest on record', () => {
    const base = {
      layers: [
        {
          diffId: sha256('b'),
          digest: sha256('bz'),
          size: 9,
          createdBy: 'base',
          mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
        },
      ],
      env: ['PATH=/opt/node/bin:/usr/bin', 'FOO=a=b'],
      name: 'registry.example/base',
      digest: sha256('base'),
    };
    const { config, manifest } = assemble(lock, 'linux/amd64', layers, base);
    expect(json(config.bytes).rootfs.diff_ids).toEqual([sha256('b'), sha256('tar')]);
    expect(json(config.bytes).config.Env).toContain('FOO=a=b');
    expect(json(config.bytes).config.Env).toContain(
      'PATH=/app/node_modules/.bin:/usr/local/bin:/usr/bin:/opt/node/bin',
    );
    expect(json(manifest.bytes).annotations).toMatchObject({ 'org.opencontainers.image.base.digest': base.digest });
    expect(json(manifest.bytes).layers[0].mediaType).toBe(base.layers[0]!.mediaType);
  });
});

it('assembleIndex lists the platforms and names the lock', () => {
  const images = [assemble(lock, 'linux/amd64', layers), assemble(lock, 'linux/arm64', layers)];
  const index = json(assembleIndex(lock, images).bytes);
  expect(index.manifests.map((entry: { platform: unknown }) => entry.platform)).toEqual([
    { architecture: 'amd64', os: 'linux' },
    { architecture: 'arm64', os: 'linux' },
  ]);
  expect(index.annotations['io.mcp-build.lock']).toBe(lockDigest(lock));
});
