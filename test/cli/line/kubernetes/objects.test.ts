import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { type Deployable, manifestsOf, objectName, renderServer } from '../../../../cli/line/kubernetes/index.ts';
import { sha256 } from '../../../../digest/index.ts';
import { containerSpec, LIMITS } from '../../../../runner/index.ts';
import { AWKWARD, cluster, everywhere, plain, reaching } from './sample.ts';

// biome-ignore lint/suspicious/noExplicitAny: tests look into it
type Any = any;

const of = (server: Deployable, kind: string, given = cluster): Any =>
  manifestsOf(server, given).objects.find((object) => object.kind === kind);
const podOf = (server: Deployable, given = cluster): Any => of(server, 'Deployment', given).spec.template.spec;
const containerOf = (server: Deployable): Any => podOf(server).containers[0];

describe.each([
  ['memory', plain],
  ['tickets', reaching],
  ['fetch', everywhere],
] as const)('%s', (name, server) => {
  test('is what it was', async () => {
    await expect(renderServer(name, manifestsOf(server, cluster))).toMatchFileSnapshot(`golden/${name}.yaml`);
  });

  test('is named by digest only, and every value of a secret by reference only', () => {
    const text = renderServer(name, manifestsOf(server, cluster));
    expect([...text.matchAll(/^ *image: (.*)$/gm)].map((match) => match[1])).toEqual([server.image]);
    for (const one of containerOf(server).env)
      if (/TOKEN/.test(one.name)) expect(one.valueFrom.secretKeyRef).toEqual({ name, key: one.name, optional: false });
  });
});

/**
 * Each wall of the runner, and what a pod has in its place. A wall that is added there has to be answered here: by a field, or by what `cannot`
 * says to whoever deploys it.
 */
describe('a pod has the walls that a container has under the runner', () => {
  const spec = containerSpec({
    imageId: sha256('image'),
    image: everywhere.built,
    volumes: [{ path: '/data', mode: 'rw', device: 1, inode: 1, uid: 65532, gid: 65532 }],
    network: { kind: 'none' },
    limits: LIMITS,
    identity: { user: { uid: 65532, gid: 65532 }, labels: {} },
    launch: { args: [], env: {}, files: [] },
  });
  const pod = podOf(everywhere);
  const [container] = pod.containers;
  const { securityContext: context } = container;
  const cannot = new Map(manifestsOf(reaching, cluster).cannot.map(({ wall, why }) => [wall, why]));
  const said = (wall: string) => expect(cannot.get(wall), wall).toBeTypeOf('string');
  const MIB = 1024 * 1024;
  const mount = (path: string): Any => {
    const { name } = container.volumeMounts.find((one: Any) => one.mountPath === path);
    return pod.volumes.find((one: Any) => one.name === name);
  };

  const CONTAINER: Record<keyof typeof spec, () => void> = {
    Image: () => expect(container.image).toMatch(/@sha256:[0-9a-f]{64}$/),
    Hostname: () => expect(pod).not.toHaveProperty('setHostnameAsFQDN'),
    User: () => expect(`${context.runAsUser}:${context.runAsGroup}`).toBe(spec.User),
    Env: () => expect(spec.Env).toEqual(container.env.slice(0, 1).map((one: Any) => `${one.name}=${one.value}`)),
    Entrypoint: () => expect(container).not.toHaveProperty('command'),
    Cmd: () => expect(container.args).toEqual(['--default']),
    Labels: () => undefined,
    AttachStdin: () => expect(container.stdin).toBe(false),
    AttachStdout: () => undefined,
    AttachStderr: () => undefined,
    OpenStdin: () => expect(container.stdin).toBe(false),
    StdinOnce: () => expect(container).not.toHaveProperty('stdinOnce'),
    Tty: () => expect(container.tty).toBe(spec.Tty),
    StopSignal: () => expect(spec.StopSignal).toBe('SIGTERM'),
    StopTimeout: () => expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(20 + spec.StopTimeout),
    // Probes ask the bridge; nothing is executed in the image.
    Healthcheck: () => expect(JSON.stringify(pod)).not.toContain('"exec"'),
    HostConfig: () => undefined,
  };
  const HOST: Record<keyof typeof spec.HostConfig, () => void> = {
    NetworkMode: () => {
      expect(pod.hostNetwork).toBe(false);
      expect(of(plain, 'NetworkPolicy').spec).toMatchObject({ policyTypes: ['Ingress', 'Egress'], egress: [] });
      expect(podOf(plain).dnsConfig).toEqual({ nameservers: ['127.0.0.1'] });
    },
    ReadonlyRootfs: () => expect(context.readOnlyRootFilesystem).toBe(spec.HostConfig.ReadonlyRootfs),
    Privileged: () => expect(context.privileged).toBe(spec.HostConfig.Privileged),
    CapAdd: () => expect(context.capabilities).not.toHaveProperty('add'),
    CapDrop: () => expect(context.capabilities.drop).toEqual(spec.HostConfig.CapDrop),
    SecurityOpt: () => {
      expect(context.allowPrivilegeEscalation).toBe(false);
      expect(context.seccompProfile).toEqual({ type: 'RuntimeDefault' });
      said('system calls');
    },
    Memory: () => expect(container.resources.limits.memory).toBe(`${spec.HostConfig.Memory / MIB}Mi`),
    // What asks for all it may have gets no swap.
    MemorySwap: () => expect(container.resources.requests.memory).toBe(container.resources.limits.memory),
    NanoCpus: () => expect(Number(container.resources.limits.cpu) * 1e9).toBe(spec.HostConfig.NanoCpus),
    PidsLimit: () => {
      said('processes');
      expect(cannot.get('processes')).toContain(String(spec.HostConfig.PidsLimit));
    },
    OomKillDisable: () => expect(spec.HostConfig.OomKillDisable).toBe(false),
    Tmpfs: () => {
      for (const [path, options] of Object.entries(spec.HostConfig.Tmpfs)) {
        const size = Number(/size=(\d+)/.exec(options)?.[1]);
        expect(mount(path).emptyDir).toEqual({ medium: 'Memory', sizeLimit: `${size / MIB}Mi` });
      }
      said('writable memory');
    },
    Mounts: () => {
      for (const { Type, Target, TmpfsOptions } of spec.HostConfig.Mounts) {
        if (Type !== 'tmpfs') continue;
        expect(mount(Target).emptyDir).toEqual({
          medium: 'Memory',
          sizeLimit: `${(TmpfsOptions?.SizeBytes ?? 0) / MIB}Mi`,
        });
      }
      const kinds = new Set(
        [pod, podOf(reaching)].flatMap(({ volumes }) => volumes.map((one: Any) => Object.keys(one)[1])),
      );
      expect([...kinds].sort()).toEqual(['emptyDir', 'persistentVolumeClaim']);
    },
    Init: () => expect(pod.shareProcessNamespace).toBe(spec.HostConfig.Init),
    Ulimits: () => said('open files, core dumps'),
    LogConfig: () => undefined,
    // The pod of a Deployment is always started again; the image it is started from is fixed by its digest.
    RestartPolicy: () => expect(pod.restartPolicy).toBe('Always'),
    AutoRemove: () => undefined,
    PublishAllPorts: () => expect(JSON.stringify(pod)).not.toContain('hostPort'),
    IpcMode: () => expect(pod.hostIPC).toBe(false),
    PidMode: () => expect(pod.hostPID).toBe(false),
    UTSMode: () => expect(pod.hostNetwork).toBe(false),
    UsernsMode: () => expect(pod).not.toHaveProperty('hostUsers'),
    ShmSize: () => expect(JSON.stringify(pod)).not.toContain('/dev/shm'),
    MaskedPaths: () => {
      expect(context.procMount).toBe('Default');
      said('kernel files');
    },
    ReadonlyPaths: () => said('kernel files'),
  };

  test.each(Object.keys(spec))('%s', (field) => CONTAINER[field as keyof typeof spec]());
  test.each(Object.keys(spec.HostConfig))('HostConfig.%s', (field) => HOST[field as keyof typeof spec.HostConfig]());

  test('and no more of the cluster than it needs', () => {
    for (const server of [plain, reaching, everywhere]) {
      expect(podOf(server)).toMatchObject({ automountServiceAccountToken: false, enableServiceLinks: false });
      expect(of(server, 'ServiceAccount').automountServiceAccountToken).toBe(false);
    }
  });
});

describe('what is signed arrives as it is', () => {
  /** As the kubelet replaces (k8s.io/kubernetes/third_party/forked/golang/expansion). */
  const expand = (text: string) =>
    text.replace(/\$\$|\$\(([^)]*)\)/g, (whole, name: string) => (whole === '$$' ? '$' : `<${name}>`));

  test('arguments and values, through YAML and the kubelet', () => {
    const text = renderServer('tickets', manifestsOf(reaching, cluster));
    const deployment: Any = parseAllDocuments(text)
      .map((document) => document.toJS() as Any)
      .find(({ kind }) => kind === 'Deployment');
    const [container] = deployment.spec.template.spec.containers;
    expect(container.args.map(expand)).toEqual(['--read-only', ...AWKWARD]);
    const value = container.env.find((one: Any) => one.name === 'TICKETS_URL').value;
    expect(expand(value)).toBe('https://tickets.example.test/$(HOME)');
  });

  test('a variable without a value is asked of the cluster', () => {
    const env = containerOf(reaching).env;
    const named = (name: string): Any => env.find((one: Any) => one.name === name).valueFrom;
    expect(named('TICKETS_REGION')).toEqual({
      configMapKeyRef: { name: 'tickets', key: 'TICKETS_REGION', optional: true },
    });
    // Allowed by its signer, and not described: a secret until somebody says otherwise.
    expect(named('ODD')).toEqual({ secretKeyRef: { name: 'tickets', key: 'ODD', optional: false } });
  });
});

describe('the network', () => {
  test('only the gateway comes in', () => {
    for (const server of [plain, reaching, everywhere]) {
      const { ingress } = of(server, 'NetworkPolicy').spec;
      expect(ingress).toHaveLength(1);
      expect(ingress[0].from).toHaveLength(1);
      expect(ingress[0].from[0].podSelector.matchLabels).toEqual(cluster.gateway.labels);
      expect(ingress[0].from[0].namespaceSelector.matchLabels).toEqual({ 'kubernetes.io/metadata.name': 'mcp' });
    }
  });

  test('single destinations are the proxy and nothing else, and without one they are refused', () => {
    expect(of(reaching, 'NetworkPolicy').spec.egress).toEqual([
      {
        to: [
          {
            namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'egress' } },
            podSelector: { matchLabels: { app: 'proxy' } },
          },
        ],
        ports: [{ protocol: 'TCP', port: 3128 }],
      },
    ]);
    const { egress: _none, ...without } = cluster;
    expect(() => manifestsOf(reaching, without)).toThrow(expect.objectContaining({ code: 'egress-inexpressible' }));
    expect(() => manifestsOf(plain, without)).not.toThrow();
  });

  test('all is the internet, without the networks around', () => {
    const [internet, dns] = of(everywhere, 'NetworkPolicy').spec.egress;
    expect(internet.to[0].ipBlock.except).toContain('169.254.0.0/16');
    expect(internet.to[0].ipBlock.except).toContain('10.0.0.0/8');
    expect(dns.ports.map((one: Any) => one.port)).toEqual([53, 53]);
  });
});

test('an image for one kind of node goes to no other', () => {
  expect(podOf(plain).nodeSelector).toEqual({ 'kubernetes.io/os': 'linux' });
  expect(podOf(everywhere).nodeSelector).toEqual({ 'kubernetes.io/os': 'linux', 'kubernetes.io/arch': 'arm64' });
});

test('folders are claims, or are refused', () => {
  expect(podOf(reaching).volumes.filter((one: Any) => one.persistentVolumeClaim)).toEqual([
    { name: 'claim-0', persistentVolumeClaim: { claimName: 'tickets-data', readOnly: false } },
    { name: 'claim-1', persistentVolumeClaim: { claimName: 'reference', readOnly: true } },
  ]);
  expect(of(reaching, 'Deployment').spec.strategy).toEqual({ type: 'Recreate' });
  expect(() => manifestsOf({ ...reaching, claims: new Map([['/data', 'x']]) }, cluster)).toThrow(
    expect.objectContaining({ code: 'claim-missing' }),
  );
});

test('a server without a memory is scaled; any other has one pod, to which its clients come back', () => {
  expect(of(plain, 'HorizontalPodAutoscaler').spec).toMatchObject({ minReplicas: 1, maxReplicas: 10 });
  expect(of(plain, 'Deployment').spec).not.toHaveProperty('replicas');
  expect(of(plain, 'Service').spec.sessionAffinity).toBe('None');
  expect(of(reaching, 'HorizontalPodAutoscaler')).toBeUndefined();
  expect(of(reaching, 'Deployment').spec.replicas).toBe(1);
  expect(of(reaching, 'Service').spec.sessionAffinity).toBe('ClientIP');
  const sessions = (server: Deployable) => containerOf(server).env.at(-1).value;
  expect([sessions(plain), sessions(reaching)]).toEqual(['shared', 'auto']);
});

test.each([
  ['memory', '', 'memory'],
  ['a.b_c', '', 'a-b-c'],
  ['1password', 'mcp-', 'mcp-1password'],
])('%s with the prefix "%s" is called %s', (server, prefix, name) => {
  expect(objectName(server, prefix)).toBe(name);
});

test.each([
  ['1password', ''],
  ['x'.repeat(64), ''],
  ['memory', 'Mcp-'],
])('%s with the prefix "%s" is no name', (server, prefix) => {
  expect(() => objectName(server, prefix)).toThrow(expect.objectContaining({ code: 'name-unfit' }));
});
