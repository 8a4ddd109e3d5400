import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { integrityFromHex, sha256 } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import type { Entry } from '../entry.ts';
import type { BridgeArtifact, LayerLock, Open } from '../lock.ts';

/** How the file with the bridge becomes a layer. */
export const BRIDGE_TRANSFORM = 'bridge/1';
/** Where it lies among the files that come with mcp-build, below `images/`. */
const FILE = 'bridge/bridge.mjs';
/** What comes before a server's own entrypoint in an image that serves HTTP. */
export const BRIDGE_ENTRYPOINT = ['/usr/local/bin/node', '/usr/local/lib/mcp-build/bridge.mjs'] as const;
/** Where an image that serves HTTP listens, unless `MCP_BRIDGE_PORT` says otherwise. */
export const BRIDGE_PORT = 8080;

/** The bridge that comes with this mcp-build. @param images the folder that comes with it @throws McpBuildError `images-missing` */
export async function bridgeArtifact(images: string): Promise<BridgeArtifact> {
  const bytes = await bridgeBytes(images);
  const digest = sha256(bytes);
  return {
    kind: 'bridge',
    name: 'mcp-build-bridge',
    // It is made anew seldom, and by hand; which one it is, its digest says.
    version: digest.slice('sha256:'.length, 'sha256:'.length + 12),
    file: 'bridge.mjs',
    integrity: integrityFromHex('sha256', digest.slice('sha256:'.length)),
    size: bytes.length,
    index: 'built-in',
  };
}

export function bridgeLayer(artifact: BridgeArtifact): LayerLock {
  return { name: 'bridge', transform: BRIDGE_TRANSFORM, files: [artifact] };
}

/** Its bytes, if they are the locked ones. @throws McpBuildError `bridge-unavailable` for a lock of another mcp-build */
export async function* fetchBridge(artifact: BridgeArtifact, images: string): AsyncGenerator<Uint8Array> {
  const bytes = await bridgeBytes(images);
  const own = await bridgeArtifact(images);
  if (own.integrity !== artifact.integrity) {
    throw new McpBuildError({
      code: 'bridge-unavailable',
      message: `The lock names the HTTP bridge ${artifact.version}; this mcp-build brings ${own.version}`,
      input: artifact.version,
      fix: 'Lock it again, or pull the image that was published from this lock: its layer is taken as it is.',
    });
  }
  yield bytes;
}

/** The files of the layer. */
export async function* bakeBridge({ files }: LayerLock, open: Open): AsyncGenerator<Entry> {
  for (const artifact of files) {
    if (artifact.kind !== 'bridge') continue;
    yield {
      type: 'file',
      path: BRIDGE_ENTRYPOINT[1].slice(1),
      size: artifact.size ?? 0,
      content: open(artifact),
    };
  }
}

async function bridgeBytes(images: string): Promise<Buffer> {
  try {
    return await readFile(join(images, FILE));
  } catch (cause) {
    throw new McpBuildError({
      code: 'images-missing',
      message: `The HTTP bridge is not where mcp-build is installed: ${(cause as NodeJS.ErrnoException).code}`,
      input: FILE,
      fix: 'Install mcp-build again.',
      cause,
    });
  }
}
