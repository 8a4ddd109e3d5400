import { hexOf } from '../../digest/index.ts';
import { digestOf, distinct, type Material, type Materials, purlOf } from './materials.ts';

/** Described in docs/provenance.md. */
export const BUILD_TYPE = 'urn:mcp-build:build:v1';

export interface Build {
  readonly materials: Materials;
  readonly platforms: readonly string[];
  /** Releases after this were not considered; null where that check was off. */
  readonly before: string | null;
  /** The base recipe by name, or the digest of a base image. */
  readonly base: string;
  readonly compressor: string;
  /** Transforms by layer: `npm/1`. */
  readonly transforms: Readonly<Record<string, string>>;
  /** Who ran the build: the URI of a workflow, or of nothing more than somebody's machine. */
  readonly builderId: string;
  /** Of the run, where a CI names it. */
  readonly invocationId?: string;
  readonly started: Date;
  readonly finished: Date;
}

/** A builder nobody vouches for but the signature itself. */
export const LOCAL_BUILDER = 'urn:mcp-build:builder:local';

/** SLSA provenance v1: https://slsa.dev/spec/v1.1/provenance */
export function provenancePredicate(build: Build): object {
  const { materials } = build;
  const { ecosystem, name, range, version } = materials.source;
  return {
    buildDefinition: {
      buildType: BUILD_TYPE,
      externalParameters: {
        source: { ecosystem, name, range },
        platforms: build.platforms,
        base: build.base,
        before: build.before,
      },
      internalParameters: {
        version,
        created: materials.created,
        compressor: build.compressor,
        transforms: build.transforms,
      },
      resolvedDependencies: distinct(materials.files).map(resource),
    },
    runDetails: {
      builder: { id: build.builderId, version: { 'mcp-build': materials.builder } },
      metadata: {
        ...(build.invocationId === undefined ? {} : { invocationId: build.invocationId }),
        startedOn: build.started.toISOString(),
        finishedOn: build.finished.toISOString(),
      },
      byproducts: [{ name: 'image.lock.json', digest: { sha256: hexOf(materials.lock) } }],
    },
  };
}

function resource(material: Material): object {
  const { algorithm, hex } = digestOf(material);
  return {
    name: material.file,
    uri: purlOf(material),
    digest: { [algorithm]: hex },
    annotations: { layer: material.layer },
  };
}
