import { parseIntegrity } from '../../digest/index.ts';
import type { LayerLock, WheelArtifact } from '../lock.ts';
import type { Platform } from '../platform.ts';
import { machineOf } from './tags.ts';

/**
 * The native lock as pip and uv install it (`--require-hashes`): one entry for each name and version, with the hash of every locked
 * wheel, and a marker where not all platforms take it. Names no index.
 */
export function formatRequirements(layers: Readonly<Partial<Record<Platform, readonly LayerLock[]>>>): string {
  const entries = new Map<
    string,
    { readonly name: string; readonly hashes: Set<string>; readonly machines: Set<string> }
  >();
  const all = new Set<string>();
  for (const [platform, list] of Object.entries(layers) as [Platform, readonly LayerLock[]][]) {
    const machine = machineOf(platform);
    all.add(machine);
    for (const file of list.flatMap(({ files }) => files)) {
      if (file.kind !== 'wheel') continue;
      const pin = `${file.name}==${file.version}`;
      const entry = entries.get(pin) ?? { name: file.name, hashes: new Set(), machines: new Set() };
      entry.hashes.add(hashOf(file));
      entry.machines.add(machine);
      entries.set(pin, entry);
    }
  }
  return [...entries]
    .sort(([a, one], [b, other]) => compare(one.name, other.name) || compare(a, b))
    .map(([pin, { hashes, machines }]) => {
      const some = machines.size < all.size;
      const marker = [...machines].sort().map((machine) => `platform_machine == "${machine}"`);
      const hashLines = [...hashes].sort().map((hash) => `    --hash=sha256:${hash}`);
      return `${[`${pin}${some ? ` ; ${marker.join(' or ')}` : ''}`, ...hashLines].join(' \\\n')}\n`;
    })
    .join('');
}

function hashOf(file: WheelArtifact): string {
  return parseIntegrity(file.integrity).hex;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
