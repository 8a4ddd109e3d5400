import { execFile, execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { type Dockerd, testDocker } from '../e2e/dockerd.ts';
import { describeWith } from '../e2e/harness/needs.ts';
import { root } from '../e2e/harness/tree.ts';
import { countingProxy, type Server, startDockerRegistry } from '../e2e/registry-servers.ts';
import { DOCKER_BASE, dockerBase } from './docker-base.ts';
import { median, published, ratio, report, sideBySide } from './measure.ts';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3);
/** Of the catalogue; all of it by default. `BENCH_SERVERS='memory time'` is one of each ecosystem. */
const NAMES = process.env.BENCH_SERVERS?.split(/[ ,]+/).filter(Boolean);

interface Layer {
  readonly name: string;
  readonly output?: { readonly digest: string };
}

interface Locked {
  readonly platforms: Readonly<Record<string, { readonly layers: readonly Layer[] }>>;
  readonly source: { readonly ecosystem: 'npm' | 'pypi'; readonly name: string; readonly version: string };
}

/** Docker's base with what the servers are installed from in npm's and pip's caches, as cache mounts would have it. */
const WARM_BASE = 'bench-warm';

/**
 * The reference catalogue to an empty repository each time, beside one Dockerfile a server. Both have their base and their downloads at hand, and
 * Docker's base is in the registry already; ours is sent anew, for two platforms, and what is published is vetted, signed and verified as well.
 */
describeWith(['docker', 'docker-registry'], 'publishing the reference catalogue', () => {
  let folder: string;
  let work: string;
  let main: string;
  let docker: Dockerd;
  let registry: Server;
  let names: readonly string[];
  let round = 0;
  const environment = () => ({
    ...process.env,
    MCP_BUILD_HOME: join(folder, 'home'),
    MCP_BUILD_PASSPHRASE: 'bench',
    // Whoever publishes twice in an hour asks no index about the same file twice; so does Docker's npm.
    npm_config_prefer_offline: 'true',
  });
  const dockerEnvironment = () => ({ ...process.env, DOCKER_HOST: docker.host, DOCKER_BUILDKIT: '0' });
  const publish = (to: string) => [
    ...[process.execPath, main, 'publish', '--no-test', '--key', 'keys/mcp-build.key', '--to', to, '--json'],
  ];
  const run = (command: readonly string[]) =>
    execFileSync(command[0]!, command.slice(1), {
      cwd: work,
      env: environment(),
      stdio: ['ignore', 'pipe', 'inherit'],
      maxBuffer: 1 << 28,
    }).toString();

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'mcp-build-bench-'));
    main = published();
    docker = await testDocker();
    registry = await startDockerRegistry(join(folder, 'registry'));
    work = join(folder, 'work');
    mkdirSync(work);
    const manifest = parse(readFileSync(join(root, 'mcp-build.yaml'), 'utf8')) as { servers: Record<string, unknown> };
    names = Object.keys(manifest.servers).filter((name) => NAMES === undefined || NAMES.includes(name));
    const servers = Object.fromEntries(names.map((name) => [name, manifest.servers[name]]));
    writeFileSync(join(work, 'mcp-build.yaml'), stringify({ version: 1, servers }));
    for (const name of names) {
      cpSync(join(root, 'lockfiles', name), join(work, 'lockfiles', name), { recursive: true });
      mkdirSync(join(folder, 'docker', name), { recursive: true });
      writeFileSync(join(folder, 'docker', name, 'Dockerfile'), dockerfile(name));
    }
    run([process.execPath, main, 'init', '--output', 'keys']);
    run(publish(`${registry.host}/warm`));
    const env = dockerEnvironment();
    dockerBase(env, folder);
    mkdirSync(join(folder, 'docker', WARM_BASE));
    writeFileSync(
      join(folder, 'docker', WARM_BASE, 'Dockerfile'),
      [`FROM ${DOCKER_BASE}`, ...names.map((name) => `WORKDIR /warm/${name}\nRUN ${installation(name)}`), ''].join(
        '\n',
      ),
    );
    const base = `${registry.host}/${WARM_BASE}`;
    for (const words of [
      ['build', '--quiet', '--network', 'host', '-t', base, join(folder, 'docker', WARM_BASE)],
      ['tag', base, WARM_BASE],
      ['push', '--quiet', base],
    ])
      execFileSync('docker', words, { env, stdio: 'pipe' });
  }, 1_800_000);

  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
    await docker?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  function lockOf(name: string): Locked {
    return JSON.parse(readFileSync(join(root, 'lockfiles', name, 'image.lock.json'), 'utf8')) as Locked;
  }

  function installation(name: string): string {
    const { source } = lockOf(name);
    return source.ecosystem === 'npm'
      ? `npm install --prefer-offline --ignore-scripts --no-audit --no-fund ${source.name}@${source.version}`
      : `python3 -m pip install --no-compile --target . ${source.name}==${source.version}`;
  }

  function dockerfile(name: string): string {
    return `FROM ${WARM_BASE}\nWORKDIR /app\nRUN ${installation(name)}\n`;
  }

  test('beside docker build and docker push', async () => {
    // As many at a time as there are processors, as we do.
    const script = `printf '%s\\n' ${names.join(' ')} | xargs -P 2 -I{} sh -ec 'docker build --no-cache --network host -q -t ${registry.host}/docker$ROUND/{} ${folder}/docker/{} && docker push -q ${registry.host}/docker$ROUND/{}'`;
    const next = (anew: boolean) => async () => {
      round += 1;
      if (anew) forgetServers();
    };
    const results = await sideBySide(
      [
        {
          name: 'publish',
          before: next(false),
          get command() {
            return publish(`${registry.host}/ours${round}`);
          },
          cwd: work,
          env: environment(),
        },
        {
          name: 'publish, layers anew',
          before: next(true),
          get command() {
            return publish(`${registry.host}/ours${round}`);
          },
          cwd: work,
          env: environment(),
        },
        {
          name: 'docker',
          before: next(false),
          command: ['sh', '-c', script],
          get env() {
            return { ...dockerEnvironment(), ROUND: String(round) };
          },
        },
      ],
      ROUNDS,
    );
    const seconds = (name: string) => median(results.get(name)!.map((one) => one.seconds));
    report(`publish of ${names.length} servers beside \`docker build\` and \`docker push\``, [
      { what: 'layers built before', measured: ratio(results, 'publish', 'docker'), target: 0.2 },
      {
        what: 'the servers’ own layers built anew',
        measured: ratio(results, 'publish, layers anew', 'docker'),
        target: 0.2,
      },
      { what: 'publish', measured: seconds('publish'), unit: 's' },
      { what: 'publish, the servers’ own layers built anew', measured: seconds('publish, layers anew'), unit: 's' },
      { what: 'docker', measured: seconds('docker'), unit: 's' },
    ]);
    expect(results.get('docker')).toHaveLength(ROUNDS);
  });

  /** All layers that `docker build --no-cache` would make, too: of the servers, not of the bases. */
  function forgetServers(): void {
    const own = new Set(
      names.flatMap((name) =>
        Object.values(lockOf(name).platforms).flatMap(({ layers }) =>
          layers.flatMap(({ name: layer, output }) =>
            output && !['base', 'base-bytecode', 'runtime'].includes(layer) ? [output.digest] : [],
          ),
        ),
      ),
    );
    const home = join(folder, 'home');
    for (const digest of own) rmSync(join(home, 'store', 'blobs', digest.replace(':', '/')), { force: true });
    const kept = join(home, 'cache', 'layers');
    for (const file of readdirSync(kept)) {
      const { digest } = JSON.parse(readFileSync(join(kept, file), 'utf8')) as { digest: string };
      if (own.has(digest)) rmSync(join(kept, file));
    }
  }

  test('again, with nothing changed', async () => {
    run(publish(`${registry.host}/again`));
    await using proxy = await countingProxy(registry.host);
    const started = performance.now();
    // The proxy is in this process, which must not wait.
    const [program = '', ...words] = publish(`${proxy.host}/again`);
    const { stdout } = await promisify(execFile)(program, words, { cwd: work, env: environment() });
    const { servers } = JSON.parse(stdout) as { servers: readonly { status: string }[] };
    const seconds = (performance.now() - started) / 1000;
    report('again, with nothing changed', [
      { what: 'requests a server', measured: proxy.count() / names.length, target: 12, unit: '' },
      { what: 'whole process', measured: seconds, unit: 's' },
    ]);
    expect(new Set(servers.map(({ status }) => status))).toEqual(new Set(['unchanged']));
    expect(proxy.count()).toBeLessThanOrEqual(12 * names.length);
  });
});
