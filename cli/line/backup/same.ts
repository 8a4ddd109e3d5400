import { type FileHandle, lstat, open, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';

const CHUNK = 256 * 1024;

/** Whether two files, links or folders hold the same, rights included: what is there already needn't be put back. Times don't count. */
export async function sameTree(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([lstat(one), lstat(other)]);
  if (a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid) return false;
  if (a.isSymbolicLink()) return (await readlink(one)) === (await readlink(other));
  if (a.isDirectory()) {
    const names = (await readdir(one)).sort();
    if (names.join('/') !== (await readdir(other)).sort().join('/')) return false;
    for (const name of names) if (!(await sameTree(join(one, name), join(other, name)))) return false;
    return true;
  }
  return a.isFile() && a.size === b.size && (await sameBytes(one, other));
}

async function sameBytes(one: string, other: string): Promise<boolean> {
  const files = await Promise.all([open(one, 'r'), open(other, 'r')]);
  try {
    return await sameContent(...files);
  } finally {
    await Promise.all(files.map((file) => file.close()));
  }
}

async function sameContent(a: FileHandle, b: FileHandle): Promise<boolean> {
  const left = Buffer.allocUnsafeSlow(CHUNK);
  const right = Buffer.allocUnsafeSlow(CHUNK);
  for (;;) {
    const [{ bytesRead: read }, { bytesRead: other }] = await Promise.all([
      a.read(left, 0, CHUNK),
      b.read(right, 0, CHUNK),
    ]);
    if (read !== other || !left.subarray(0, read).equals(right.subarray(0, read))) return false;
    if (read === 0) return true;
  }
}
