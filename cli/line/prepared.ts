import { hostPlatform, parseSource } from '../../builders/index.ts';
import { isFault } from '../../errors/index.ts';
import { openLayout } from '../../registry/index.ts';
import { hasLock, readLockFolder } from './folder.ts';
import type { Home } from './home.ts';
import { stateLockFolder } from './source.ts';

/** Whether a source was locked and built here before, so that a start has only to verify. */
export async function isPrepared(target: string, home: Home, bin?: string): Promise<boolean> {
  const folder = stateLockFolder(home, parseSource(target), bin);
  if (!(await hasLock(folder))) return false;
  const { lock } = await readLockFolder(folder);
  if (lock.index === undefined || lock.platforms[hostPlatform()] === undefined) return false;
  try {
    await (await openLayout(home.store)).resolve(lock.index);
    return true;
  } catch (error) {
    if (isFault(error, 'not-found')) return false;
    throw error;
  }
}
