import type { NpmArtifact, WheelArtifact } from '../../../builders/index.ts';
import { type Contents, readContents } from '../../../vetting/index.ts';
import { type WheelRecipe, wheel } from '../../builders/pypi/wheel.ts';
import { type TarMember, tarball } from '../../fakes/npm-registry.ts';
import { npmPackage, wheelPackage } from '../packages.ts';

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** What is read of an npm package with these files. */
export function npmContents(
  files: Readonly<Record<string, string | Uint8Array>>,
  manifest: Readonly<Record<string, unknown>> = {},
): Promise<Contents> {
  const members: TarMember[] = [
    {
      path: 'package/package.json',
      content: JSON.stringify({ name: 'sample', version: '1.0.0', license: 'MIT', ...manifest }),
    },
    ...Object.entries(files).map(([path, content]) => ({ path: `package/${path}`, content })),
  ];
  return tarContents(tarball(members));
}

export function tarContents(bytes: Uint8Array): Promise<Contents> {
  return readContents(npmPackage('sample', '1.0.0').files[0] as NpmArtifact, () => once(bytes));
}

/** What is read of a wheel. */
export function wheelContents(recipe: Partial<WheelRecipe>): Promise<Contents> {
  const made = wheel({ name: 'sample', version: '1.0.0', ...recipe });
  return readContents(wheelPackage('sample', '1.0.0', { file: made.file }).files[0] as WheelArtifact, () =>
    once(made.bytes),
  );
}
