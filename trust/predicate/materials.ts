import { type Digest, hexOf, type Integrity, parseIntegrity } from '../../digest/index.ts';

/** One file an image was built from: a tarball, wheel, deb, base image or tool. */
export interface Material {
  readonly kind: 'npm' | 'wheel' | 'deb' | 'image' | 'tool';
  /** As its index spells it. */
  readonly name: string;
  /** Empty for an image, which its digest names. */
  readonly version: string;
  /** File name in the index. Never an address: a private mirror's is nobody else's business. */
  readonly file: string;
  readonly integrity: Integrity | Digest;
  /** In bytes, where known. */
  readonly size?: number | undefined;
  readonly layer: 'base' | 'runtime' | 'system' | 'dependencies' | 'server' | 'bridge' | 'tool';
  /** Architecture of a deb, in Debian's spelling. */
  readonly architecture?: string | undefined;
  /** An SPDX expression, or whatever the package says instead. */
  readonly license?: string | undefined;
  /** The `nameOf` of each material that it needs. */
  readonly needs?: readonly string[] | undefined;
}

/** What one platform's image was built from, as a plain value: the lock, said in words that every ecosystem has. */
export interface Materials {
  /** Name of the image. */
  readonly name: string;
  readonly source: {
    readonly ecosystem: 'npm' | 'pypi';
    readonly name: string;
    readonly range: string;
    readonly version: string;
  };
  /** `linux/amd64`; absent where all platforms are meant. */
  readonly platform?: string;
  /** Creation time of the image, ISO 8601. */
  readonly created: string;
  /** Digest of the lock's inputs. */
  readonly lock: Digest;
  readonly files: readonly Material[];
  /** Version of mcp-build. */
  readonly builder: string;
}

/**
 * Package URL (purl-spec), with a deb's architecture. Unlike a file's name it is the same in every index, and scanners look it up.
 */
export function purlOf({ kind, name, version, architecture, integrity }: Material): string {
  const encode = (text: string) => encodeURIComponent(text).replaceAll('%3A', ':');
  switch (kind) {
    case 'npm':
      return `pkg:npm/${name.split('/').map(encode).join('/')}@${encode(version)}`;
    case 'wheel':
      return `pkg:pypi/${encode(name.toLowerCase().replace(/[-_.]+/g, '-'))}@${encode(version)}`;
    case 'deb':
      return `pkg:deb/debian/${encode(name)}@${encode(version)}${architecture ? `?arch=${encode(architecture)}` : ''}`;
    case 'image':
      return `pkg:oci/${encode(name)}@${integrity.replace(':', '%3A')}`;
    case 'tool':
      return `pkg:generic/${encode(name)}@${encode(version)}`;
  }
}

/** What names a material within an image: two files of one version (a wheel for each platform, say) have different ones. */
export function nameOf(material: Material): string {
  return `${purlOf(material)}#${material.file}`;
}

export function digestOf({ integrity }: Material): { readonly algorithm: 'sha256' | 'sha512'; readonly hex: string } {
  if (integrity.startsWith('sha256:')) return { algorithm: 'sha256', hex: hexOf(integrity as Digest) };
  return parseIntegrity(integrity);
}

/** Each once, in the order of their names, so that the same lock gives the same documents. */
export function distinct(files: readonly Material[]): readonly Material[] {
  const byName = new Map(files.map((file) => [nameOf(file), file]));
  return [...byName.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, file]) => file);
}
