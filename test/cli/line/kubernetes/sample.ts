import type { Cluster, Deployable } from '../../../../cli/line/kubernetes/index.ts';
import { sha256 } from '../../../../digest/index.ts';
import { LIMITS } from '../../../../runner/index.ts';
import type { ServerPredicate } from '../../../../trust/index.ts';

export const signed: ServerPredicate = {
  source: { ecosystem: 'npm', name: '@example/memory', version: '1.2.3' },
  created: '2026-01-01T00:00:00.000Z',
  lock: sha256('lock'),
  permissions: { network: 'none', volumes: [], environment: [] },
  args: [],
  environment: [],
};

/** What it is given: text that a careless writer or reader of YAML takes for something else, and that the kubelet would replace. */
export const AWKWARD = [
  'yes',
  '0777',
  '1:30',
  'null',
  '~',
  '$(HOME)',
  '$$(HOME)',
  '$',
  '- x',
  'a: b',
  '#',
  'é\n☃',
  ' ',
];

export const plain: Deployable = {
  name: 'memory',
  server: 'memory',
  image: `registry.example.test/mcp/memory@${sha256('index')}`,
  signed,
  architectures: ['amd64', 'arm64'],
  built: { env: ['HOME=/home/nonroot'], cmd: [], volumes: [] },
  stateless: true,
  claims: new Map(),
};

export const reaching: Deployable = {
  ...plain,
  name: 'tickets',
  server: 'tickets',
  image: `registry.example.test/mcp/tickets@${sha256('tickets')}`,
  signed: {
    ...signed,
    source: { ecosystem: 'pypi', name: 'acme-tickets', version: '2.0.0' },
    permissions: {
      network: ['tickets.example.test:443'],
      volumes: [
        { path: '/data', mode: 'rw' },
        { path: '/reference', mode: 'ro' },
      ],
      environment: ['TICKETS_URL', 'TICKETS_TOKEN', 'TICKETS_REGION', 'ODD'],
    },
    args: ['--read-only', ...AWKWARD],
    environment: [
      { name: 'TICKETS_URL', required: false, secret: false, default: 'https://tickets.example.test/$(HOME)' },
      { name: 'TICKETS_TOKEN', required: true, secret: true },
      { name: 'TICKETS_REGION', required: false, secret: false },
    ],
  },
  stateless: false,
  claims: new Map([
    ['/data', 'tickets-data'],
    ['/reference', 'reference'],
  ]),
};

export const everywhere: Deployable = {
  ...plain,
  name: 'fetch',
  server: 'fetch',
  image: `registry.example.test/mcp/fetch@${sha256('fetch')}`,
  signed: { ...signed, permissions: { network: 'all', volumes: [], environment: [] } },
  architectures: ['arm64'],
  built: { env: [], cmd: ['--default'], volumes: ['/var/cache'] },
};

export const cluster: Cluster = {
  namespace: 'mcp',
  gateway: { namespace: 'mcp', labels: { 'app.kubernetes.io/name': 'mcp-build-gateway' } },
  egress: {
    url: new URL('http://10.96.0.50:3128'),
    pods: { namespace: 'egress', labels: { app: 'proxy' } },
  },
  limits: LIMITS,
  replicas: 10,
};
