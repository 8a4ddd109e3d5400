import { BRIDGE_PORT } from '../../../builders/bridge/index.ts';
import { imageVariable } from '../../../runner/index.ts';
import { claimMissing } from './faults.ts';
import { egressEnvironment, podDns } from './network.ts';
import type { Cluster, Deployable, Manifests } from './types.ts';

/** The user that images are made for. */
const NONROOT = 65532;
const HOME = '/home/nonroot';
/** Seconds from SIGTERM to SIGKILL: the bridge drains for 20 of them, and its server has 5 more. */
const GRACE = 30;

/** The pod of a server, with the walls that a container has under the runner. @throws McpBuildError `claim-missing`, `egress-inexpressible` */
export function podSpec(server: Deployable, cluster: Cluster): Readonly<Record<string, unknown>> {
  const { built, signed } = server;
  const home = imageVariable(built, 'HOME') || HOME;
  const memory = [
    { name: 'tmp', path: '/tmp', size: cluster.limits.tmp },
    { name: 'home', path: home, size: cluster.limits.home },
    // Each VOLUME of a foreign image would otherwise be a folder on the node's disk.
    ...built.volumes.map((path, at) => ({ name: `volume-${at}`, path, size: cluster.limits.tmp })),
  ];
  const claims = signed.permissions.volumes.map(({ path, mode }, at) => {
    const claim = server.claims.get(path);
    if (claim === undefined) throw claimMissing(server.server, path);
    return { name: `claim-${at}`, path, claim, readOnly: mode === 'ro' };
  });
  return {
    serviceAccountName: server.name,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    hostNetwork: false,
    hostPID: false,
    hostIPC: false,
    // The pause container reaps orphans, as the runner's init does.
    shareProcessNamespace: true,
    ...podDns(signed.permissions.network),
    nodeSelector: {
      'kubernetes.io/os': 'linux',
      // An image for both needs no node of one kind.
      ...(server.architectures.length === 1 ? { 'kubernetes.io/arch': server.architectures[0] } : {}),
    },
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: GRACE,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: NONROOT,
      runAsGroup: NONROOT,
      fsGroup: NONROOT,
      supplementalGroups: [],
      seccompProfile: { type: 'RuntimeDefault' },
    },
    ...(cluster.pullSecret === undefined ? {} : { imagePullSecrets: [{ name: cluster.pullSecret }] }),
    containers: [
      {
        name: 'server',
        image: server.image,
        imagePullPolicy: 'IfNotPresent',
        ...argsOf(server),
        env: environmentOf(server, cluster, home),
        ports: [{ name: 'mcp', containerPort: BRIDGE_PORT, protocol: 'TCP' }],
        stdin: false,
        tty: false,
        securityContext: {
          privileged: false,
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          runAsNonRoot: true,
          runAsUser: NONROOT,
          runAsGroup: NONROOT,
          capabilities: { drop: ['ALL'] },
          seccompProfile: { type: 'RuntimeDefault' },
          procMount: 'Default',
        },
        resources: {
          // As much memory as it may have: it is never asked to give any back, and gets no swap.
          requests: { memory: quantity(cluster.limits.memory), cpu: '50m' },
          limits: { memory: quantity(cluster.limits.memory), cpu: cpus(cluster.limits.cpus) },
        },
        startupProbe: { httpGet: { path: '/_readyz', port: 'mcp' }, periodSeconds: 1, failureThreshold: 120 },
        readinessProbe: { httpGet: { path: '/_readyz', port: 'mcp' }, periodSeconds: 5, failureThreshold: 2 },
        livenessProbe: { httpGet: { path: '/_healthz', port: 'mcp' }, periodSeconds: 10, failureThreshold: 3 },
        volumeMounts: [
          ...memory.map(({ name, path }) => ({ name, mountPath: path })),
          ...claims.map(({ name, path, readOnly }) => ({ name, mountPath: path, readOnly })),
        ],
      },
    ],
    volumes: [
      ...memory.map(({ name, size }) => ({ name, emptyDir: { medium: 'Memory', sizeLimit: quantity(size) } })),
      ...claims.map(({ name, claim, readOnly }) => ({
        name,
        persistentVolumeClaim: { claimName: claim, readOnly },
      })),
    ],
  };
}

/** What of the runner's walls a pod has no word for. */
export function cannotOf(server: Deployable): Manifests['cannot'] {
  const { network } = server.signed.permissions;
  return [
    { wall: 'processes', why: 'a pod has no limit of its own: set podPidsLimit of the kubelet (the runner gives 256)' },
    { wall: 'open files, core dumps', why: 'limits of a process are the container runtime’s' },
    {
      wall: 'system calls',
      why: 'RuntimeDefault is the runtime’s list, which is longer than the runner’s; socket families are not among what it limits',
    },
    {
      wall: 'writable memory',
      why: '/tmp and HOME are writable memory of a limited size, but not noexec, nosuid or nodev, and group 65532 may read them',
    },
    { wall: 'kernel files', why: 'which of /proc and /sys are hidden is the runtime’s list' },
    ...(typeof network === 'string'
      ? []
      : [
          {
            wall: 'destinations',
            why: `a NetworkPolicy knows no names: the pod reaches the egress proxy and nothing else, not even DNS, and the proxy must allow it ${network.join(', ')} only`,
          },
        ]),
    ...(network === 'all'
      ? [
          {
            wall: 'network',
            why: 'all is the internet and the cluster’s DNS; private networks are left out, which a run on one machine reaches',
          },
        ]
      : []),
  ];
}

function argsOf({ signed, built }: Deployable): { readonly args?: readonly string[] } {
  const args = signed.args.length > 0 ? signed.args : built.cmd;
  return args.length === 0 ? {} : { args: args.map(literal) };
}

function environmentOf(server: Deployable, cluster: Cluster, home: string): readonly object[] {
  const { signed, name, built } = server;
  const { namespace } = cluster;
  const declared = new Map(signed.environment.map((one) => [one.name, one]));
  for (const variable of signed.permissions.environment)
    if (!declared.has(variable)) declared.set(variable, { name: variable, required: true, secret: true });
  const hosts = [name, `${name}.${namespace}`, `${name}.${namespace}.svc`, `${name}.${namespace}.svc.cluster.local`];
  return [
    ...(imageVariable(built, 'HOME') ? [] : [{ name: 'HOME', value: home }]),
    ...egressEnvironment(server, cluster).map(([variable, value]) => ({ name: variable, value: literal(value) })),
    ...[...declared.values()].map(({ name: variable, required, secret, default: value }) => {
      if (value !== undefined && !secret) return { name: variable, value: literal(value) };
      // Values are the cluster's: of a Secret, or a ConfigMap where it is none, that bears the server's name.
      const reference = { name, key: variable, optional: !required };
      return { name: variable, valueFrom: secret ? { secretKeyRef: reference } : { configMapKeyRef: reference } };
    }),
    { name: 'MCP_BRIDGE_HOSTS', value: hosts.join(',') },
    { name: 'MCP_BRIDGE_SESSIONS', value: server.stateless ? 'shared' : 'auto' },
  ];
}

/** The kubelet replaces $(NAME) in arguments and values; a doubled $ is a plain one. */
function literal(text: string): string {
  return text.replaceAll('$', '$$$$');
}

/** Bytes as the largest unit that is exact. */
export function quantity(bytes: number): string {
  for (const [unit, size] of [
    ['Gi', 1024 ** 3],
    ['Mi', 1024 ** 2],
    ['Ki', 1024],
  ] as const)
    if (bytes % size === 0 && bytes >= size) return `${bytes / size}${unit}`;
  return String(bytes);
}

export function cpus(count: number): string {
  return Number.isInteger(count) ? String(count) : `${Math.round(count * 1000)}m`;
}
