import type { Platform } from '../platform.ts';

export interface Library {
  readonly soname: string;
  /** Absolute in the image. */
  readonly path: string;
}

/** A library for glibc 2 of the platform's own word size: FLAG_ELF_LIBC6 with FLAG_X8664_LIB64 or FLAG_AARCH64_LIB64. */
const FLAGS: Readonly<Record<Platform, number>> = { 'linux/amd64': 0x0303, 'linux/arm64': 0x0a03 };

const MAGIC = 'glibc-ld.so.cache1.1';
const HEADER = 48;
const ENTRY = 24;
const LITTLE_ENDIAN = 2;

/**
 * `/etc/ld.so.cache` in the one format that glibc 2.32 and later read (sysdeps/generic/dl-cache.h, `struct cache_file_new`), without the
 * optional extensions: the same libraries are the same bytes. ctypes.util.find_library sees only what is in it.
 */
export function ldCache(libraries: readonly Library[], platform: Platform): Uint8Array {
  const sorted = [...libraries].sort(
    (a, b) => compareLibraries(b.soname, a.soname) || (a.path < b.path ? -1 : Number(a.path > b.path)),
  );
  const strings: Buffer[] = [];
  let next = HEADER + ENTRY * sorted.length;
  const place = (text: string): number => {
    const at = next;
    const bytes = Buffer.from(`${text}\0`, 'latin1');
    strings.push(bytes);
    next += bytes.length;
    return at;
  };
  const head = Buffer.alloc(next);
  sorted.forEach(({ soname, path }, index) => {
    const at = HEADER + ENTRY * index;
    head.writeInt32LE(FLAGS[platform], at);
    head.writeUInt32LE(place(soname), at + 4);
    head.writeUInt32LE(place(path), at + 8);
  });
  head.write(MAGIC, 0, 'latin1');
  head.writeUInt32LE(sorted.length, 20);
  head.writeUInt32LE(next - head.length, 24);
  head.writeUInt8(LITTLE_ENDIAN, 28);
  return Buffer.concat([head, ...strings]);
}

/**
 * The loader's order, in which it searches by halves (`_dl_cache_libcmp`): byte by byte, but runs of digits by their value and after
 * everything else. The file holds it backwards.
 */
export function compareLibraries(a: string, b: string): number {
  const pattern = /[0-9]+|[^0-9]/g;
  const left = a.match(pattern) ?? [];
  const right = b.match(pattern) ?? [];
  for (let index = 0; index < left.length && index < right.length; index++) {
    const one = left[index]!;
    const other = right[index]!;
    const oneIsNumber = /[0-9]/.test(one);
    if (oneIsNumber !== /[0-9]/.test(other)) return oneIsNumber ? 1 : -1;
    const difference = oneIsNumber ? Number(one) - Number(other) : one.charCodeAt(0) - other.charCodeAt(0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}
