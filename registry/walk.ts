import { McpBuildError } from '../errors/index.ts';
import { readDocument } from './layout-read.ts';
import { childrenOf, type Manifest, parseManifest } from './manifest.ts';
import { isManifestType } from './media.ts';
import type { Descriptor, Store } from './store.ts';

/** Real indexes nest once; a chain of them is somebody's trick. */
const DEPTH = 5;
/** Manifests below one root. */
const MANIFESTS = 2_000;

/** A manifest of an image's tree, with its bytes. */
export interface Node {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
  readonly manifest: Manifest;
}

export interface Tree {
  /** Children before what points at them; the root is the last one. */
  readonly nodes: readonly Node[];
  /** Configs and layers, each once. */
  readonly blobs: readonly Descriptor[];
}

/**
 * Reads every manifest below `root`. Bounded in depth and number: an index may name itself only by breaking SHA-256, but it may
 * name very many others.
 * @throws McpBuildError `manifest-invalid`, `manifest-too-deep`, and what `store.read` throws
 */
export async function treeOf(store: Pick<Store, 'read' | 'name'>, root: Descriptor): Promise<Tree> {
  const nodes: Node[] = [];
  const seen = new Set<string>();
  const blobs = new Map<string, Descriptor>();
  const visit = async (descriptor: Descriptor, depth: number): Promise<void> => {
    if (seen.has(descriptor.digest)) return;
    seen.add(descriptor.digest);
    if (depth > DEPTH || seen.size > MANIFESTS) throw tooDeep(root);
    const bytes = await readDocument(store, descriptor);
    const manifest = parseManifest(bytes, descriptor.mediaType, descriptor.digest);
    for (const child of childrenOf(manifest)) {
      if (isManifestType(child.mediaType)) await visit(child, depth + 1);
      else blobs.set(child.digest, child);
    }
    nodes.push({ descriptor, bytes, manifest });
  };
  await visit(root, 0);
  return { nodes, blobs: [...blobs.values()] };
}

function tooDeep(root: Descriptor): McpBuildError {
  return new McpBuildError({
    code: 'manifest-too-deep',
    message: `Below ${root.digest} there are indexes nested more than ${DEPTH} deep, or more than ${MANIFESTS} manifests`,
    input: root.digest,
    fix: 'Name one of the images below it by its digest.',
  });
}
