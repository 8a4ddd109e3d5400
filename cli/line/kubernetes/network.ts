import { BRIDGE_PORT } from '../../../builders/bridge/index.ts';
import type { Permissions } from '../../../trust/index.ts';
import { egressInexpressible } from './faults.ts';
import type { Cluster, Deployable, Pods } from './types.ts';

/** Networks that are nobody's on the internet, among them the cluster's own and the metadata service of a cloud. */
const PRIVATE4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '168.63.129.16/32',
  '169.254.0.0/16',
].concat([...['172.16.0.0/12', '192.0.0.0/24', '192.0.2.0/24', '192.168.0.0/16', '198.18.0.0/15', '224.0.0.0/3']]);
const DNS: Pods = { namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } };

/** What may reach a server, and what it may reach: the gateway, and what is signed. @throws McpBuildError `egress-inexpressible` */
export function networkPolicySpec(server: Deployable, cluster: Cluster, labels: Readonly<Record<string, string>>) {
  return {
    podSelector: { matchLabels: labels },
    policyTypes: ['Ingress', 'Egress'],
    ingress: [{ from: [peer(cluster.gateway)], ports: [{ protocol: 'TCP', port: BRIDGE_PORT }] }],
    egress: egressRules(server, cluster),
  };
}

function egressRules(server: Deployable, cluster: Cluster): readonly object[] {
  const { network } = server.signed.permissions;
  if (network === 'none') return [];
  if (network === 'all') {
    return [
      { to: [{ ipBlock: { cidr: '0.0.0.0/0', except: PRIVATE4 } }, { ipBlock: { cidr: '2000::/3' } }] },
      { to: [peer(DNS)], ports: [...['UDP', 'TCP'].map((protocol) => ({ protocol, port: 53 }))] },
    ];
  }
  const { url, pods } = proxyOf(server, cluster);
  return [{ to: [peer(pods)], ports: [{ protocol: 'TCP', port: Number(url.port) }] }];
}

/** How programs of the image find the proxy. */
export function egressEnvironment(server: Deployable, cluster: Cluster): readonly (readonly [string, string])[] {
  if (typeof server.signed.permissions.network === 'string') return [];
  const address = proxyOf(server, cluster).url.origin;
  return ['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy'].map((name) => [name, address] as const);
}

/** A pod that reaches nothing, or only a proxy by its address, has no use for names: looking one up would tell somebody. */
export function podDns(network: Permissions['network']): object {
  if (network === 'all') return { dnsPolicy: 'ClusterFirst' };
  return { dnsPolicy: 'None', dnsConfig: { nameservers: ['127.0.0.1'] } };
}

function proxyOf({ server, signed }: Deployable, { egress }: Cluster): NonNullable<Cluster['egress']> {
  if (egress) return egress;
  throw egressInexpressible(server, signed.permissions.network as readonly string[]);
}

function peer({ namespace, labels }: Pods): object {
  return {
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
    podSelector: { matchLabels: labels },
  };
}
