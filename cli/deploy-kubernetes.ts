import { join, resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { makeFolders, writeAtomic } from '../files/index.ts';
import { LIMITS, parseLimits, parseSize } from '../runner/index.ts';
import { homeOf } from './line/home.ts';
import {
  type AdmissionKind,
  admissionOf,
  type Cluster,
  deployServers,
  flagInvalid,
  type Pods,
  renderObjects,
  renderServer,
} from './line/kubernetes/index.ts';
import { MANIFEST, readManifest } from './line/manifest/index.ts';
import { publishPolicy } from './line/publish/index.ts';
import { manifestSigner, signerOf } from './line/signer.ts';
import { examples, jsonOption, repeated, usage } from './options.ts';
import { certificatesOption, plainHttpOption, type RegistryFlags, registryOptions } from './registry.ts';
import { type Terminal, terminal } from './terminal.ts';

interface Options extends RegistryFlags {
  readonly namespace: string;
  readonly prefix: string;
  readonly from?: string;
  readonly policy?: string;
  readonly gateway: Pods;
  readonly egressProxy?: string;
  readonly egressProxyPods?: Pods;
  readonly claim?: readonly string[];
  readonly pullSecret?: string;
  readonly memory: number;
  readonly cpus: number;
  readonly maxReplicas: number;
  readonly admission?: AdmissionKind;
  readonly partial?: boolean;
  readonly write?: string;
  readonly json?: boolean;
}

export function kubernetesCommand(): Command {
  return new Command('kubernetes')
    .summary('what published servers are in a cluster, with the walls that they have on one machine')
    .description(
      `Prints, for servers of ${MANIFEST} that were published for HTTP (transport: http), a Deployment, Service, ServiceAccount and NetworkPolicy that the restricted Pod Security profile accepts. Images are named by digest, and taken from the registry only if the policy accepts them; arguments, variables and permissions are those that were signed. What a pod can't be given is refused, or said at the top. Nothing is applied.`,
    )
    .argument('[name...]', `servers of ${MANIFEST}; all by default`)
    .option('--namespace <name>', 'namespace of everything', 'mcp')
    .option('--prefix <text>', 'put before every name', '')
    .option('--from <registry>', 'registry.example/team instead of the manifest’s')
    .option('--policy <file>', 'policy that must accept the images; the manifest’s by default, else the signer’s key')
    .addOption(
      new Option('--gateway <namespace/label=value,...>', 'the pods of the gateway, which alone may reach servers')
        .argParser((text) => usage(() => podsOf('gateway', text)))
        .default(
          { namespace: 'mcp', labels: { 'app.kubernetes.io/name': 'mcp-build-gateway' } },
          'mcp/app.kubernetes.io/name=mcp-build-gateway',
        ),
    )
    .option('--egress-proxy <url>', 'http://ADDRESS:PORT of a proxy that lets servers reach what they may, by address')
    .addOption(
      new Option('--egress-proxy-pods <namespace/label=value,...>', 'its pods').argParser((text) =>
        usage(() => podsOf('egress-proxy-pods', text)),
      ),
    )
    .addOption(
      repeated(
        '--claim <server:path=claim>',
        'a PersistentVolumeClaim in place of a folder that a server uses',
        (word) => word,
      ),
    )
    .option('--pull-secret <name>', 'Secret with which nodes read the registry')
    .addOption(sizeOption('--memory <size>', 'of each pod', LIMITS.memory))
    .addOption(
      new Option('--cpus <number>', 'of each pod')
        .argParser((text) => usage(() => parseLimits({ cpus: Number(text) }).cpus))
        .default(LIMITS.cpus),
    )
    .addOption(
      new Option('--max-replicas <number>', 'most pods of a server that is stateless').default(10).argParser((text) => {
        if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
        throw new InvalidArgumentError('Give a whole number.');
      }),
    )
    .addOption(
      new Option('--admission <controller>', 'print the policy for an admission controller instead').choices([
        'sigstore',
        'kyverno',
      ]),
    )
    .option('--partial', 'leave out what the admission controller can’t judge, and say it')
    .option('--write <folder>', 'one file for each server instead of stdout')
    .addOption(plainHttpOption())
    .addOption(certificatesOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build deploy kubernetes | kubectl apply -f -', 'everything that was published'],
        [
          'mcp-build deploy kubernetes memory --claim memory:/data=memory --write deploy',
          'one server, whose folder is a claim',
        ],
        [
          'mcp-build deploy kubernetes --egress-proxy http://10.96.0.50:3128 --egress-proxy-pods egress/app=proxy',
          'with a way out to single hosts',
        ],
        ['mcp-build deploy kubernetes --admission kyverno', 'so that nothing else starts in that namespace'],
      ),
    )
    .action(deploy);
}

async function deploy(names: readonly string[], options: Options): Promise<void> {
  const out = terminal(options);
  const environment = { ...process.env };
  const home = homeOf(environment);
  const workspace = process.cwd();
  const manifest = await readManifest(workspace);
  const signer = manifestSigner({}, manifest.signer);
  const policy = await publishPolicy({
    home,
    policy: options.policy === undefined ? manifest.policy : resolve(options.policy),
    signer,
    load: () => signerOf(signer, home, environment),
    dryRun: false,
  });
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(options.namespace))
    throw flagInvalid('namespace', options.namespace, 'Write a DNS label: lower-case letters, digits and hyphens.');
  if (options.admission !== undefined) {
    const { objects, cannot } = admissionOf(policy, options.admission, options.namespace, options.partial === true);
    const text = renderObjects(objects, [
      `${policy.name}, for ${options.admission}. Not judged at admission:`,
      ...cannot.map((line) => `- ${line}`),
    ]);
    return give(out, options, [{ file: `admission-${options.admission}.yaml`, text }], { objects, cannot });
  }
  const deployed = await deployServers({
    ...{ manifest, names, environment, workspace, policy, now: new Date(), prefix: options.prefix },
    ...(options.from === undefined ? {} : { registry: options.from }),
    ...registryOptions(options),
    cluster: clusterOf(options),
    claims: claimsOf(options.claim ?? []),
    progress: out.progress,
  });
  const files = deployed.map((one) => ({ file: `${one.name}.yaml`, text: renderServer(one.server, one) }));
  await give(out, options, files, {
    namespace: options.namespace,
    servers: deployed,
    gateway: { mcpServers: Object.fromEntries(deployed.map(({ server, url }) => [server, { url }])) },
  });
}

async function give(
  out: Terminal,
  { write }: Options,
  files: readonly { file: string; text: string }[],
  json: unknown,
): Promise<void> {
  if (write === undefined) return out.result(json, files.map(({ text }) => text.trimEnd()).join('\n---\n'));
  await makeFolders(write);
  for (const { file, text } of files) await writeAtomic(join(write, file), text, 0o644);
  await out.result(json, files.map(({ file }) => join(write, file)).join('\n'));
}

function clusterOf(options: Options): Cluster {
  const { namespace, gateway, pullSecret, memory, cpus, maxReplicas, egressProxy, egressProxyPods } = options;
  return {
    ...{ namespace, gateway, limits: { ...LIMITS, memory, cpus }, replicas: maxReplicas },
    ...(pullSecret === undefined ? {} : { pullSecret }),
    ...(egressProxy === undefined && egressProxyPods === undefined
      ? {}
      : { egress: egressOf(egressProxy, egressProxyPods) }),
  };
}

/** By address: a server that looks up a name tells whoever answers, and the proxy's would be one. */
function egressOf(text: string | undefined, pods: Pods | undefined): NonNullable<Cluster['egress']> {
  const url = text !== undefined && URL.canParse(text) ? new URL(text) : undefined;
  const fix = 'Write --egress-proxy http://10.96.0.50:3128 with --egress-proxy-pods NAMESPACE/LABEL=VALUE.';
  if (!pods) throw flagInvalid('egress-proxy-pods', '', fix);
  if (
    url?.protocol !== 'http:' ||
    url.port === '' ||
    url.username !== '' ||
    !/^(?:[\d.]+|\[[\da-f:]+\])$/.test(url.hostname)
  )
    throw flagInvalid('egress-proxy', text ?? '', fix);
  return { url, pods };
}

function claimsOf(words: readonly string[]): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const claims = new Map<string, Map<string, string>>();
  for (const word of words) {
    const [, server = '', path = '', claim = ''] = /^([^:/]+):(\/[^=]*)=([a-z0-9][a-z0-9.-]{0,252})$/.exec(word) ?? [];
    if (server === '') throw flagInvalid('claim', word, 'Write --claim SERVER:/path=CLAIM.');
    const paths = claims.get(server) ?? new Map<string, string>();
    claims.set(server, paths.set(path, claim));
  }
  return claims;
}

/** Reads `namespace/label=value,label=value`. */
function podsOf(flag: string, text: string): Pods {
  const [, namespace = '', rest = ''] = /^([a-z0-9-]+)\/(.+=.+)$/.exec(text) ?? [];
  // A label may hold a slash, a value none.
  const pairs = rest
    .split(',')
    .map((pair) => /^([A-Za-z0-9][A-Za-z0-9./_-]{0,250})=([A-Za-z0-9._-]{0,63})$/.exec(pair));
  if (namespace === '' || pairs.some((pair) => pair === null)) {
    throw flagInvalid(flag, text, 'Write NAMESPACE/LABEL=VALUE, with commas between several labels.');
  }
  return { namespace, labels: Object.fromEntries(pairs.map((pair) => [pair?.[1] ?? '', pair?.[2] ?? ''])) };
}

function sizeOption(flags: string, description: string, usual: number): Option {
  return new Option(flags, description)
    .argParser((text) => usage(() => parseLimits({ memory: parseSize(text) }).memory))
    .default(usual, `${usual / 1024 / 1024}m`);
}
