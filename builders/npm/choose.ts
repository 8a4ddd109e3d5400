import pacote from 'pacote';
import { McpBuildError } from '../../errors/index.ts';
import { ageUnknown, instant, tooNew } from './artifacts.ts';
import type { NpmConfiguration } from './configuration.ts';
import { versionNotFound } from './faults.ts';
import type { Packuments } from './packuments.ts';
import { IMAGE_NODE } from './tree.ts';

export interface ChooseOptions {
  readonly configuration: NpmConfiguration;
  readonly packuments: Packuments;
  readonly before: Date | undefined;
  /** Releases that are taken although they are younger. */
  readonly young?: readonly { readonly name: string; readonly version: string }[];
  /** For "old enough on …"; now, unless a test says otherwise. */
  readonly now?: Date;
}

/**
 * The version npm would take for a range or dist-tag among those that are old enough.
 * @throws McpBuildError `too-new`, `age-unknown`, `version-not-found`; see `Packuments.of`
 */
export async function chooseVersion(name: string, range: string, options: ChooseOptions): Promise<string> {
  const packument = await options.packuments.of(name);
  const excepted = options.before ? await pickExcepted(name, range, options) : undefined;
  if (excepted !== undefined) return excepted;
  const version = await pick(name, range, options.before, options);
  if (version === undefined) {
    throw (await tooNewOf(name, range, options)) ?? versionNotFound(name, range, 'you', undefined);
  }
  if (options.before && instant(packument.time[version]) === undefined) throw ageUnknown(`${name}@${version}`);
  return version;
}

/** What would be taken if nothing were too young, where that very release is excepted. */
async function pickExcepted(name: string, range: string, options: ChooseOptions): Promise<string | undefined> {
  const excepted = (options.young ?? []).filter((one) => one.name === name);
  if (excepted.length === 0) return undefined;
  const version = await pick(name, range, undefined, options);
  return excepted.some((one) => one.version === version) ? version : undefined;
}

/** When a range has only versions that are too young: the error that says so; undefined where it has none at all. */
export async function tooNewOf(
  name: string,
  range: string,
  options: ChooseOptions,
): Promise<McpBuildError | undefined> {
  const { before, packuments } = options;
  if (!before) return undefined;
  const version = await pick(name, range, undefined, options).catch(() => undefined);
  if (version === undefined) return undefined;
  const uploaded = instant((await packuments.of(name)).time[version]);
  if (uploaded === undefined) return ageUnknown(`${name}@${version}`);
  return tooNew(`${name}@${version}`, uploaded, before, options.now ?? new Date());
}

async function pick(
  name: string,
  range: string,
  before: Date | undefined,
  { configuration, packuments }: ChooseOptions,
): Promise<string | undefined> {
  const options = {
    ...configuration.flat,
    packumentCache: packuments.npmCache,
    nodeVersion: IMAGE_NODE,
    fullMetadata: true,
    defaultTag: 'latest',
    before: before ?? null,
  };
  try {
    const { version } = await pacote.manifest(`${name}@${range}`, options as unknown as pacote.Options);
    return version;
  } catch (error) {
    if (error instanceof McpBuildError) throw error;
    const { code } = error as { code?: string };
    if (code === 'ETARGET' || code === 'ENOVERSIONS') return undefined;
    throw error;
  }
}
