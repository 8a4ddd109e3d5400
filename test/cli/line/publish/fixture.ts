import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Lock } from '../../../../builders/index.ts';
import { lockFolderOf, writeLockFolder } from '../../../../cli/line/folder.ts';
import { homeOf } from '../../../../cli/line/home.ts';
import { readManifest } from '../../../../cli/line/manifest/index.ts';
import { type Outcome, type PublishSettings, publishServers } from '../../../../cli/line/publish/index.ts';
import { integrityFromHex, sha256 } from '../../../../digest/index.ts';
import { isFault, McpBuildError } from '../../../../errors/index.ts';
import { openLayout, openRemote, type RemoteStore } from '../../../../registry/index.ts';
import {
  assess,
  DEFAULT_VETTING,
  gather,
  generateKey,
  keyPolicy,
  keySigner,
  type Policy,
  PREDICATES,
  type PrivateKey,
} from '../../../../trust/index.ts';
import { wheel } from '../../../builders/pypi/wheel.ts';
import { type OciRegistry, type OciRegistryOptions, startOciRegistry } from '../../../fakes/oci-registry.ts';
import { type FakeIndex, pypiIndex } from '../../../fakes/pypi-index.ts';
import { writeIndex } from '../../../registry/image.ts';

/** A workspace with locked servers of a few kilobytes, the index they come from, and a registry to publish to: all real but for the servers. */
export interface Team extends AsyncDisposable {
  readonly folder: string;
  readonly registry: OciRegistry;
  readonly index: FakeIndex;
  readonly key: PrivateKey;
  readonly policy: Policy;
  settings(more?: Partial<PublishSettings>): Promise<PublishSettings>;
  /** Publishes as the command does. */
  publish(more?: Partial<PublishSettings>, names?: readonly string[]): Promise<readonly Outcome[]>;
  /** Locks 1.0.0 or 1.1.0, which the index has, or another one, which it hasn’t. */
  lock(name: string, version: string): Promise<void>;
  write(lines: string): Promise<void>;
  remote(name: string): RemoteStore;
  /** Every tag in the registry whose image a stranger's policy refuses. */
  unverified(): Promise<readonly string[]>;
}

const UPLOADED = '2026-01-01T00:00:00.000Z';

/** The stranger's policy: this key must have signed it, said what it is, and what it was built from. */
export function strangersPolicy(key: PrivateKey): Policy {
  const policy = keyPolicy([key]);
  return {
    ...policy,
    rules: policy.rules.map((rule) => ({
      ...rule,
      require: [PREDICATES.server, PREDICATES.provenance].map((predicateType) => ({
        ...rule.signature,
        predicateType,
      })),
    })),
  };
}

export async function startTeam(names: readonly string[], options: OciRegistryOptions = {}): Promise<Team> {
  const folder = await mkdtemp(join(tmpdir(), 'publish-'));
  const registry = await startOciRegistry(options);
  const index = await pypiIndex();
  const key = generateKey();
  const policy = strangersPolicy(key);
  const environment = {
    HOME: folder,
    PATH: process.env.PATH,
    MCP_BUILD_HOME: join(folder, 'home'),
    UV_DEFAULT_INDEX: index.url,
  };
  const base = await writeIndex(await openLayout(join(folder, 'base')));

  const release = (name: string, version: string) =>
    wheel({
      name,
      version,
      files: { [`${name}.py`]: `# ${name} ${version}\n` },
      scripts: { [name]: `${name}:main` },
    });
  for (const name of names) {
    index.add(name, ...['1.0.0', '1.1.0'].map((version) => ({ ...release(name, version), uploaded: UPLOADED })));
  }
  const lock = async (name: string, version: string): Promise<void> => {
    const { file, bytes } = release(name, version);
    const hex = sha256(bytes).slice('sha256:'.length);
    const files = { 'requirements.in': `${name}\n`, 'requirements.txt': `${name}==${version} --hash=sha256:${hex}\n` };
    const artifact = {
      kind: 'wheel',
      name,
      version,
      file,
      integrity: integrityFromHex('sha256', hex),
      size: bytes.length,
      uploaded: UPLOADED,
      index: 'default',
    } as const;
    const layers = [{ name: 'server' as const, transform: 'pypi/1', files: [artifact] }];
    const made: Lock = {
      lockVersion: 1,
      name,
      source: { ecosystem: 'pypi', name, range: '', version },
      before: '2026-06-01T00:00:00.000Z',
      created: UPLOADED,
      native: Object.fromEntries(Object.entries(files).map(([one, text]) => [one, sha256(text)])),
      base: { kind: 'image', reference: `oci:${join(folder, 'base')}`, digest: base.digest },
      entrypoint: [`/usr/local/bin/${name}`],
      platforms: { 'linux/amd64': { layers }, 'linux/arm64': { layers } },
    };
    await writeLockFolder(lockFolderOf(folder, name), { lock: made, files });
  };
  const write = (lines: string) => writeFile(join(folder, 'mcp-build.yaml'), lines);
  await write(
    `version: 1\nregistry: ${registry.host}/mcp\nbase: oci:${join(folder, 'base')}@${base.digest}\nservers:\n${names.map((name) => `  ${name}: {source: "pypi:${name}"}\n`).join('')}`,
  );
  for (const name of names) await lock(name, '1.0.0');

  const settings = async (more: Partial<PublishSettings> = {}): Promise<PublishSettings> => ({
    manifest: await readManifest(folder),
    home: homeOf(environment),
    environment,
    workspace: folder,
    policy,
    rules: DEFAULT_VETTING,
    signer: async () => keySigner(key),
    untested: 'there is no Docker in this test',
    dryRun: false,
    recheck: false,
    now: new Date('2026-09-01T00:00:00Z'),
    ...more,
  });
  const remote = (name: string) => openRemote({ registry: registry.host, repository: `mcp/${name}` });
  return {
    folder,
    registry,
    index,
    key,
    policy,
    settings,
    lock,
    write,
    remote,
    publish: async (more, chosen = []) =>
      publishServers({
        settings: await settings(more),
        names: chosen,
        parallel: 4,
        explain: (error) => {
          if (isFault(error)) return error;
          return new McpBuildError({
            code: 'unexpected',
            message: error instanceof Error ? (error.stack ?? error.message) : String(error),
          });
        },
        onStep: () => undefined,
        onDone: () => undefined,
        say: () => undefined,
      }),
    unverified: async () => {
      const bad: string[] = [];
      for (const name of names) {
        for (const [tag, digest] of registry.repository(`mcp/${name}`).tags) {
          // The lists of referrers, where there is no API for them.
          if (/^sha256-[0-9a-f]{64}$/.test(tag)) continue;
          const evidence = await gather(remote(name), digest as `sha256:${string}`, {
            layers: true,
            asked: { source: { ecosystem: 'pypi', name } },
          });
          if (assess(policy, evidence, new Date('2026-09-01T00:00:00Z')).verdict.verdict === 'fail')
            bad.push(`${name}:${tag}`);
        }
      }
      return bad;
    },
    [Symbol.asyncDispose]: async () => {
      await registry[Symbol.asyncDispose]();
      await index.close();
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
