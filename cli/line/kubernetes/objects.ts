import { nameUnfit } from './faults.ts';
import { networkPolicySpec } from './network.ts';
import { cannotOf, cpus, podSpec } from './pod.ts';
import type { Cluster, Deployable, KubernetesObject, Manifests } from './types.ts';

const SERVICE_PORT = 80;

/** All that one server is in a cluster. Pure. @throws McpBuildError `claim-missing`, `egress-inexpressible` */
export function manifestsOf(server: Deployable, cluster: Cluster): Manifests {
  const { name, signed, image, stateless } = server;
  const selector = { 'app.kubernetes.io/name': name, 'app.kubernetes.io/part-of': 'mcp-build' };
  const metadata = {
    name,
    namespace: cluster.namespace,
    labels: { ...selector, 'app.kubernetes.io/managed-by': 'mcp-build' },
    annotations: {
      'io.mcp-build.source': `${signed.source.ecosystem}:${signed.source.name}`,
      'io.mcp-build.version': signed.source.version,
      'io.mcp-build.image': image,
    },
  };
  const writes = signed.permissions.volumes.some(({ mode }) => mode === 'rw');
  const deployment: KubernetesObject = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata,
    spec: {
      // Where an autoscaler decides, a number here would undo its decision at each apply.
      ...(stateless ? {} : { replicas: 1 }),
      revisionHistoryLimit: 3,
      // Two at once on one folder would write into each other's files.
      strategy: writes
        ? { type: 'Recreate' }
        : { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      selector: { matchLabels: selector },
      template: {
        metadata: { labels: metadata.labels, annotations: metadata.annotations },
        spec: podSpec(server, cluster),
      },
    },
  };
  const objects: KubernetesObject[] = [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata, automountServiceAccountToken: false },
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata,
      spec: networkPolicySpec(server, cluster, selector),
    },
    deployment,
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: {
        type: 'ClusterIP',
        selector,
        ports: [{ name: 'mcp', port: SERVICE_PORT, targetPort: 'mcp', protocol: 'TCP', appProtocol: 'http' }],
        // A session lives in the pod that opened it.
        ...(stateless
          ? { sessionAffinity: 'None' }
          : { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } } }),
      },
    },
  ];
  if (stateless) objects.push(autoscaler(metadata, cluster));
  return { objects, cannot: cannotOf(server) };
}

/** The address of a server for the gateway's configuration. */
export function serviceUrl({ name }: Pick<Deployable, 'name'>, { namespace }: Pick<Cluster, 'namespace'>): string {
  return `http://${name}.${namespace}.svc/mcp`;
}

/** By what pods use, not by the share of what they asked for, which is little. */
function autoscaler(metadata: KubernetesObject['metadata'], { replicas, limits }: Cluster): KubernetesObject {
  return {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata,
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: metadata.name },
      minReplicas: 1,
      maxReplicas: replicas,
      metrics: [
        {
          type: 'Resource',
          resource: { name: 'cpu', target: { type: 'AverageValue', averageValue: cpus(limits.cpus / 2) } },
        },
      ],
      behavior: { scaleDown: { stabilizationWindowSeconds: 300 } },
    },
  };
}

/** A server's name as that of its objects, each of which must be a DNS label. @throws McpBuildError `name-unfit` */
export function objectName(server: string, prefix: string): string {
  const name = `${prefix}${server}`.replace(/[._]/g, '-');
  if (name.length > 63) throw nameUnfit(name, 'it has more than 63 characters');
  if (!/^[a-z]([a-z0-9-]*[a-z0-9])?$/.test(name))
    throw nameUnfit(name, 'it must begin with a letter, and hold lower-case letters, digits and hyphens only');
  return name;
}
