import { gzipSync } from 'node:zlib';
import { sha256 } from '../../digest/index.ts';
import {
  type Descriptor,
  documentOf,
  imageConfig,
  imageIndex,
  imageManifest,
  type LayoutStore,
  MEDIA,
} from '../../registry/index.ts';
import { tar, tarMember } from '../fakes/archives.ts';
import { one } from './image.ts';

/** An image for one platform, nothing said of it yet, whose layer has a package database as a base of Debian packages has it. */
export async function auditableImage(store: LayoutStore): Promise<{ index: Descriptor; platform: Descriptor }> {
  const layer = tar(
    tarMember({ name: 'var/lib/dpkg/status.d/libc6' }, 'Package: libc6\nSource: glibc (2.41-12)\nVersion: 2.41-12\n'),
    Buffer.alloc(1024),
  );
  const gzip = gzipSync(layer);
  const descriptor = { mediaType: MEDIA.layer, digest: sha256(gzip), size: gzip.length };
  const config = imageConfig({
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [sha256(layer)] },
  });
  await store.write(descriptor, one(gzip));
  await store.write(config.descriptor, one(config.bytes));
  const manifest = imageManifest({ config: config.descriptor, layers: [descriptor] });
  await store.writeManifest(manifest.bytes, MEDIA.manifest);
  const platform = {
    ...documentOf(manifest.bytes, MEDIA.manifest).descriptor,
    platform: { os: 'linux', architecture: 'amd64' },
  };
  return { platform, index: await store.writeManifest(imageIndex({ manifests: [platform] }).bytes, MEDIA.index) };
}
