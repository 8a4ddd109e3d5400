import type { DebArtifact, NpmArtifact, WheelArtifact } from '../../builders/index.ts';
import { integrityFromHex } from '../../digest/index.ts';
import type { Package } from '../../vetting/index.ts';

export const integrity = integrityFromHex('sha256', 'ab'.repeat(32));

/** A package of a tree as `packagesOf` makes it. */
export function npmPackage(
  name: string,
  version: string,
  more: Partial<NpmArtifact> = {},
  rest: Partial<Package> = {},
): Package {
  const file: NpmArtifact = {
    kind: 'npm',
    name,
    version,
    file: `${name.slice(name.indexOf('/') + 1)}-${version}.tgz`,
    integrity,
    uploaded: '2026-01-01T00:00:00.000Z',
    index: 'default',
    locations: [`node_modules/${name}`],
    ...more,
  };
  return {
    ref: `npm:${name}@${version}`,
    kind: 'npm',
    name,
    version,
    files: [file],
    base: false,
    server: false,
    needs: [],
    ...rest,
  };
}

export function wheelPackage(
  name: string,
  version: string,
  more: Partial<WheelArtifact> = {},
  rest: Partial<Package> = {},
): Package {
  const file: WheelArtifact = {
    kind: 'wheel',
    name,
    version,
    file: `${name.replaceAll('-', '_')}-${version}-py3-none-any.whl`,
    integrity,
    uploaded: '2026-01-01T00:00:00.000Z',
    index: 'default',
    ...more,
  };
  return {
    ref: `pypi:${name}@${version}`,
    kind: 'wheel',
    name,
    version,
    files: [file],
    base: false,
    server: false,
    needs: [],
    ...rest,
  };
}

export function debPackage(name: string, version: string, source = name, suite = 'trixie'): Package {
  const file: DebArtifact = {
    kind: 'deb',
    name,
    version,
    file: `pool/main/${source[0]}/${source}/${name}_${version.replace(/^\d+:/, '')}_amd64.deb`,
    integrity,
    index: suite,
    architecture: 'amd64',
  };
  return {
    ref: `deb:${name}@${version}`,
    kind: 'deb',
    name,
    version,
    files: [file],
    base: true,
    server: false,
    needs: [],
  };
}
