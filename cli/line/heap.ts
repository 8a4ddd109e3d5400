import { PerformanceObserver } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

/** Both halves of the room for young objects, in bytes. */
const ENOUGH = 8 * 1024 * 1024;

/**
 * A gateway lives for months, and its first burst of calls would have V8 grow the room for young objects to 64 MB, which is never given back. Its own
 * limit, `--max-semi-space-size`, can only be given on Node's command line; how much it grows each time is looked up each time. So is by how much of
 * what lives the rest may grow until V8 looks for what doesn't: left alone, it lets tens of megabytes of answered calls lie.
 * @returns what ends watching for it
 */
export function keepHeapSmall(): () => void {
  setFlagsFromString('--heap-growing-percent=60');
  const observer = new PerformanceObserver(look);
  observer.observe({ entryTypes: ['gc'] });
  look();
  return () => observer.disconnect();

  function look(): void {
    const young = getHeapSpaceStatistics().find((space) => space.space_name === 'new_space');
    if ((young?.space_size ?? 0) < ENOUGH) return;
    setFlagsFromString('--semi-space-growth-factor=1');
    observer.disconnect();
  }
}
