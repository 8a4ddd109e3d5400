import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { type Digest, isDigest } from '../digest/index.ts';
import { McpBuildError } from '../errors/index.ts';
import type { Store } from '../registry/index.ts';
import { imageArchive } from './archive.ts';
import { type Daemon, differences, inspectSchema } from './compare.ts';
import { type Endpoint, findEndpoint } from './endpoint.ts';
import { type Answer, type Engine, engine, refusal, whole } from './engine.ts';
import { pieces } from './frames.ts';
import type { RunImage } from './image.ts';
import { podmanDialect } from './podman-api.ts';
import type { Exit, Listed, Runtime, Usage } from './runtime.ts';
import type { ContainerSpec } from './spec.ts';

/** How many of the daemon's images are looked at for layers it already has. */
const IMAGES_LOOKED_AT = 40;
/** The bridge for servers that may use the whole network. */
const OPEN_NETWORK = 'mcp-build-open';
/** For an engine to begin to wait, in milliseconds. */
const LISTEN = 2_000;
/** For how long what a daemon says of itself counts, in milliseconds: a start asks at three places, and some daemons take a tenth of a second to answer. */
const FACTS_FRESH = 5_000;
/** For an image to be unpacked, in milliseconds. */
const LOAD_TIMEOUT = 600_000;

const infoSchema = z.object({
  SecurityOptions: z.array(z.string()).nullish(),
  SwapLimit: z.boolean().optional(),
  NCPU: z.number().optional(),
  ServerVersion: z.string().optional(),
  OSType: z.string().optional(),
  Architecture: z.string().optional(),
  MemoryLimit: z.boolean().optional(),
  PidsLimit: z.boolean().optional(),
  CpuCfsQuota: z.boolean().optional(),
  InitBinary: z.string().optional(),
  // Only Podman has one.
  BuildahVersion: z.string().optional(),
});
const imageSchema = z.object({
  Id: z.string(),
  RepoTags: z.array(z.string()).nullish(),
  RootFS: z.object({ Layers: z.array(z.string()).nullish() }).optional(),
});
const imagesSchema = z.array(z.object({ Id: z.string(), Created: z.number().optional() }));
const createdSchema = z.object({ Id: z.string().regex(/^[0-9a-f]{12,64}$/) });
const exitSchema = z.object({
  StatusCode: z.int(),
  Error: z.object({ Message: z.string().optional() }).nullish(),
});
const listSchema = z.array(
  z.object({
    Id: z.string(),
    Names: z.array(z.string()).nullish(),
    State: z.string(),
    Created: z.number(),
    Labels: z.record(z.string(), z.string()).nullish(),
  }),
);
const statsSchema = z.object({
  memory_stats: z.object({ usage: z.number().optional(), limit: z.number().optional() }).optional(),
  cpu_stats: z.object({ cpu_usage: z.object({ total_usage: z.number().optional() }).optional() }).optional(),
  pids_stats: z.object({ current: z.number().optional() }).optional(),
  blkio_stats: z
    .object({ io_service_bytes_recursive: z.array(z.object({ op: z.string(), value: z.number() })).nullish() })
    .optional(),
  networks: z.record(z.string(), z.object({ rx_bytes: z.number(), tx_bytes: z.number() })).nullish(),
});

/** The daemon that the user's own `docker` would talk to. @throws McpBuildError `docker-unavailable` for an address that can't be used */
export async function dockerRuntime(environment: Readonly<Record<string, string | undefined>>): Promise<Runtime> {
  return docker(await findEndpoint(environment));
}

/** Docker 20.10 or newer, with either of its image stores. */
export function docker(endpoint: Endpoint): Runtime {
  const api = engine(endpoint);
  const at = (name: string, action = '') => `/containers/${encodeURIComponent(name)}${action}`;
  let known: { readonly at: number; readonly facts: Promise<Daemon> } | undefined;
  const facts = () => {
    if (!known || performance.now() - known.at > FACTS_FRESH) {
      const asked = { at: performance.now(), facts: describe(api) };
      known = asked;
      // An answer that failed counts for nobody else.
      asked.facts.catch(() => {
        if (known === asked) known = undefined;
      });
    }
    return known.facts;
  };
  const podman = podmanDialect(api, facts);
  const inspect = async (name: string) => {
    const answer = await api.request('GET', at(name, '/json'));
    if (answer.status === 404) throw missing(name);
    return read(inspectSchema, good(answer, `to inspect ${name}`), 'inspect');
  };
  return {
    endpoint,
    facts,
    daemon: () => describe(api),
    load: (store, image, tag, signal) => load(api, store, image, tag, signal),
    async create(name, spec) {
      const send = async (json: ContainerSpec) => {
        const answer = await api.request('POST', `/containers/create?name=${encodeURIComponent(name)}`, { json });
        if (answer.status !== 201) throw createRefused(answer);
        return read(createdSchema, answer, 'create').Id;
      };
      return (await podman.spoken()) ? podman.create(spec, send) : send(spec);
    },
    async differences(name, spec, image, facts) {
      if (await podman.spoken()) return podman.differences(name, spec, image);
      return differences(spec, image, await inspect(name), facts);
    },
    inspect,
    async attach(name) {
      const { input, chunks, destroy } = await api.upgrade(at(name, '/attach?stream=1&stdin=1&stdout=1&stderr=1'));
      return { input, output: pieces(chunks), destroy };
    },
    async wait(name, signal) {
      const stream = api.stream('POST', at(name, '/wait?condition=next-exit'), { timeout: 0, signal });
      const exit = stream.then(async (answer): Promise<Exit> => {
        const { StatusCode, Error: failure } = read(
          exitSchema,
          { status: 200, body: await whole(answer, endpoint) },
          'wait',
        );
        return { code: StatusCode, ...(failure?.Message ? { error: failure.Message } : {}) };
      });
      // Whoever has use for it awaits it; until then a lost daemon must not end the process.
      exit.catch(() => undefined);
      // Docker sends its headers once it listens. An engine that doesn't has had the time to.
      await Promise.race([stream, sleep(LISTEN, undefined, { ref: false })]);
      return { exit };
    },
    async start(name) {
      const answer = await api.request('POST', at(name, '/start'));
      if (answer.status >= 300) throw startFailed(answer);
    },
    async kill(name, signal) {
      const answer = await api.request('POST', at(name, `/kill?signal=${signal}`));
      if (answer.status !== 404 && answer.status !== 409) good(answer, `to stop ${name}`);
    },
    async remove(name) {
      const answer = await api.request('DELETE', at(name, '?force=1&v=1'));
      // 409: its removal is already under way.
      if (answer.status !== 404 && answer.status !== 409) good(answer, `to remove ${name}`);
    },
    async list(labels): Promise<readonly Listed[]> {
      const label = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
      const filters = encodeURIComponent(JSON.stringify({ label }));
      const answer = await api.request('GET', `/containers/json?all=1&filters=${filters}`);
      return read(listSchema, good(answer, 'to list containers'), 'list').map((one) => ({
        id: one.Id,
        name: (one.Names?.[0] ?? one.Id).replace(/^\//, ''),
        state: one.State,
        labels: one.Labels ?? {},
        created: one.Created,
      }));
    },
    async usage(name): Promise<Usage> {
      const answer = await api.request('GET', at(name, '/stats?stream=false&one-shot=true'));
      if (answer.status === 404) throw missing(name);
      const stats = read(statsSchema, good(answer, `for statistics of ${name}`), 'stats');
      return usageOf(stats);
    },
    async openNetwork() {
      if (await podman.spoken()) throw podman.noBridge();
      return openNetwork(api);
    },
  };
}

function usageOf({ memory_stats, cpu_stats, pids_stats, blkio_stats, networks }: z.infer<typeof statsSchema>): Usage {
  const disk = blkio_stats?.io_service_bytes_recursive;
  const moved = (op: string) =>
    (disk ?? []).filter((entry) => entry.op.toLowerCase() === op).reduce((sum, { value }) => sum + value, 0);
  const interfaces = Object.values(networks ?? {});
  return {
    memory: memory_stats?.usage ?? 0,
    memoryLimit: memory_stats?.limit ?? 0,
    cpu: cpu_stats?.cpu_usage?.total_usage ?? 0,
    pids: pids_stats?.current ?? 0,
    ...(disk ? { disk: { in: moved('read'), out: moved('write') } } : {}),
    ...(interfaces.length > 0
      ? {
          net: {
            in: interfaces.reduce((sum, { rx_bytes }) => sum + rx_bytes, 0),
            out: interfaces.reduce((sum, { tx_bytes }) => sum + tx_bytes, 0),
          },
        }
      : {}),
  };
}

async function describe(api: Engine): Promise<Daemon> {
  const info = read(infoSchema, good(await api.request('GET', '/info'), 'to describe itself'), 'info');
  return {
    swapLimit: info.SwapLimit ?? false,
    // `name=seccomp,profile=default`: what follows the name is not needed.
    security: (info.SecurityOptions ?? []).map((option) => /^(?:name=)?([^,]*)/.exec(option)?.[1] ?? option),
    cpus: info.NCPU ?? 1,
    version: info.ServerVersion ?? '',
    os: info.OSType ?? 'linux',
    architecture: info.Architecture ?? '',
    memoryLimit: info.MemoryLimit ?? false,
    pidsLimit: info.PidsLimit ?? false,
    cpuLimit: info.CpuCfsQuota ?? false,
    lacking: [
      ...(info.MemoryLimit === false ? (['memory'] as const) : []),
      ...(info.PidsLimit === false ? (['processes'] as const) : []),
      ...(info.CpuCfsQuota === false ? (['processor time'] as const) : []),
    ],
    // Podman doesn't name its own; without it, its create request fails and says so.
    init: info.InitBinary || (info.BuildahVersion === undefined ? '' : 'catatonit'),
    engine: info.BuildahVersion === undefined ? 'docker' : 'podman',
  };
}

async function load(api: Engine, store: Store, image: RunImage, tag: string, signal?: AbortSignal): Promise<Digest> {
  const present = await identify(api, image);
  if (present) {
    if (!present.tags.includes(tag)) await name(api, present.id, tag);
    return present.id;
  }
  const had = await commonLayers(api, image);
  // It may have lost one since, or tell its layers apart in another way: then everything is sent.
  if (had.size > 0) {
    const refused = await send(api, imageArchive(store, image, tag, had), signal);
    const loaded = refused === undefined ? await identify(api, image) : undefined;
    if (loaded) return loaded.id;
  }
  const refused = await send(api, imageArchive(store, image, tag), signal);
  if (refused !== undefined) {
    throw new McpBuildError({
      code: 'docker-failed',
      message: `Docker did not take image ${image.manifest.digest}: ${refused}`,
      input: image.manifest.digest,
      fix: 'See the log of the Docker daemon; a full disk is the usual reason.',
    });
  }
  const loaded = await identify(api, image);
  if (loaded) return loaded.id;
  throw new McpBuildError({
    code: 'image-mismatch',
    message: `What Docker made of image ${image.manifest.digest} is not that image`,
    input: image.manifest.digest,
    fix: 'Nothing was started. Check that DOCKER_HOST leads to the daemon you mean.',
    exit: 3,
  });
}

/** What the daemon calls the image, if it has it: an id is the digest of the config, or of the manifest in containerd's store. */
async function identify(
  api: Engine,
  image: RunImage,
): Promise<{ readonly id: Digest; readonly tags: readonly string[] } | undefined> {
  for (const id of [image.config.digest, image.manifest.digest]) {
    const answer = await api.request('GET', `/images/${encodeURIComponent(id)}/json`);
    if (answer.status === 404) continue;
    const found = read(imageSchema, good(answer, `to describe image ${id}`), 'image');
    const layers = found.RootFS?.Layers ?? [];
    const same =
      layers.length === image.diffIds.length && layers.every((layer, position) => layer === image.diffIds[position]);
    if (same && isDigest(found.Id) && (found.Id === image.config.digest || found.Id === image.manifest.digest)) {
      return { id: found.Id, tags: found.RepoTags ?? [] };
    }
  }
  return undefined;
}

async function name(api: Engine, id: Digest, tag: string): Promise<void> {
  const colon = tag.lastIndexOf(':');
  const query = `repo=${encodeURIComponent(tag.slice(0, colon))}&tag=${encodeURIComponent(tag.slice(colon + 1))}`;
  good(await api.request('POST', `/images/${encodeURIComponent(id)}/tag?${query}`), `the name ${tag}`);
}

/** Positions of the first layers that some image of the daemon begins with, too: a layer is stored under what lies below it. */
async function commonLayers(api: Engine, image: RunImage): Promise<ReadonlySet<number>> {
  const answer = await api.request('GET', '/images/json');
  if (answer.status !== 200) return new Set();
  const images = read(imagesSchema, answer, 'images')
    .sort((a, b) => (b.Created ?? 0) - (a.Created ?? 0))
    .slice(0, IMAGES_LOOKED_AT);
  let common = 0;
  for (const { Id } of images) {
    const detail = await api.request('GET', `/images/${encodeURIComponent(Id)}/json`);
    if (detail.status !== 200) continue;
    const layers = read(imageSchema, detail, 'image').RootFS?.Layers ?? [];
    let same = 0;
    while (same < layers.length && layers[same] === image.diffIds[same]) same += 1;
    common = Math.max(common, same);
    if (common === image.diffIds.length) break;
  }
  return new Set(Array.from({ length: common }, (_, position) => position));
}

/** @returns what went wrong, which the daemon says in the middle of an answer that began with "200 OK" */
async function send(api: Engine, tar: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<string | undefined> {
  const answer = await api.request('POST', '/images/load?quiet=1', {
    tar,
    timeout: LOAD_TIMEOUT,
    ...(signal ? { signal } : {}),
  });
  if (answer.status !== 200) return refusal(answer, 'the image').message;
  for (const line of answer.body.toString('utf8').split('\n')) {
    const error = inBandError(line);
    if (error !== undefined) return error;
  }
  return undefined;
}

function inBandError(line: string): string | undefined {
  if (line.trim() === '') return undefined;
  try {
    const message: unknown = JSON.parse(line);
    if (typeof message !== 'object' || message === null) return undefined;
    if ('errorDetail' in message || 'error' in message) {
      const { errorDetail, error } = message as { errorDetail?: { message?: unknown }; error?: unknown };
      return String(errorDetail?.message ?? error).slice(0, 2000);
    }
  } catch {
    // Progress that is not JSON: podman writes plain lines.
  }
  return undefined;
}

async function openNetwork(api: Engine): Promise<string> {
  const seen = await api.request('GET', `/networks/${OPEN_NETWORK}`);
  if (seen.status === 200) return OPEN_NETWORK;
  const answer = await api.request('POST', '/networks/create', {
    json: {
      Name: OPEN_NETWORK,
      Driver: 'bridge',
      CheckDuplicate: true,
      Options: { 'com.docker.network.bridge.enable_icc': 'false' },
      Labels: { 'io.mcp-build.network': 'open' },
    },
  });
  // 409: another run was faster.
  if (answer.status !== 409) good(answer, 'to make a network');
  return OPEN_NETWORK;
}

function good(answer: Answer, what: string): Answer {
  if (answer.status >= 200 && answer.status < 300) return answer;
  throw refusal(answer, what);
}

function read<T>(schema: z.ZodType<T>, answer: Answer, what: string): T {
  let reason: string;
  try {
    const result = schema.safeParse(JSON.parse(answer.body.toString('utf8')));
    if (result.success) return result.data;
    reason = `${result.error.issues[0]?.path.join('.')}: ${result.error.issues[0]?.message}`;
  } catch (error) {
    reason = (error as Error).message;
  }
  throw new McpBuildError({
    code: 'docker-failed',
    message: `Docker's answer to "${what}" can't be understood: ${reason}`,
    input: what,
    fix: 'Use Docker 20.10 or newer.',
  });
}

function missing(name: string): McpBuildError {
  return new McpBuildError({
    code: 'container-missing',
    message: `There is no container ${name}`,
    input: name,
    fix: 'See which are there with `mcp-build ps`.',
  });
}

function createRefused(answer: Answer): McpBuildError {
  const { message } = refusal(answer, 'to create the container');
  const unshared = /bind source path does not exist|not shared from the host|mounts denied/i.test(message);
  return new McpBuildError({
    code: 'docker-failed',
    message,
    fix: unshared
      ? 'The daemon does not see this folder: it is on another machine, or its settings do not share it.'
      : 'See the log of the Docker daemon.',
  });
}

function startFailed(answer: Answer): McpBuildError {
  return new McpBuildError({
    code: 'start-failed',
    message: refusal(answer, 'to start the container').message,
    fix: "Check the image's entrypoint and the limits; the log of the Docker daemon says more.",
  });
}
