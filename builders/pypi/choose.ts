import { integrityFromHex } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import type { WheelArtifact } from '../lock.ts';
import type { Platform } from '../platform.ts';
import type { Index } from './config/index.ts';
import { noWheel } from './diagnose.ts';
import type { Session } from './fetch.ts';
import type { LockedPackage, LockedWheel } from './pylock.ts';
import { parseWheelName, preferred } from './tags.ts';
import { sameVersion } from './version.ts';

/** The wheel of a package that pip would take. @throws McpBuildError `no-wheel`, `hash-unknown` */
export function choose(
  locked: LockedPackage,
  platform: Platform,
  origins: ReadonlyMap<string, Index>,
  session: Session,
): WheelArtifact {
  const own = locked.wheels.filter(({ file }) => isOf(file, locked));
  const wheel = preferred<LockedWheel>(own, platform);
  if (!wheel) throw noWheel([`${locked.name} ${locked.version}`], { platform });
  if (wheel.sha256 === undefined) throw hashUnknown(wheel.file);
  const [only] = session.client.configuration.indexes;
  const index = origins.get(locked.name) ?? only;
  if (!index) throw new Error('a configuration always has an index');
  session.remember(wheel.sha256, { index: index.name, url: wheel.url });
  return {
    kind: 'wheel',
    name: locked.name,
    version: locked.version,
    file: wheel.file,
    integrity: integrityFromHex('sha256', wheel.sha256),
    ...(wheel.size === undefined ? {} : { size: wheel.size }),
    ...(wheel.uploaded === undefined ? {} : { uploaded: wheel.uploaded.toISOString() }),
    index: index.name,
  };
}

function isOf(file: string, locked: LockedPackage): boolean {
  const wheel = parseWheelName(file);
  return (
    wheel !== undefined && wheel.name === locked.name && sameVersion(wheel.version.replaceAll('_', '-'), locked.version)
  );
}

function hashUnknown(file: string): McpBuildError {
  return new McpBuildError({
    code: 'hash-unknown',
    message: `The index gives no SHA-256 for ${file}, so it can't be pinned`,
    input: file,
    fix: 'Use an index that gives SHA-256 hashes (PEP 503 fragments or PEP 691).',
    exit: 4,
  });
}
