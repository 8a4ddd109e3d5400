import { sha256 } from '../../digest/index.ts';
import type { Build, ServerPredicate } from '../../trust/index.ts';
import { MATERIALS } from './materials.ts';

export const SERVER: ServerPredicate = {
  source: { ecosystem: 'npm', name: '@example/server-memory', version: '1.2.3' },
  name: 'io.github.example/server-memory',
  created: '2026-08-31T10:00:00.000Z',
  newest: '2026-08-30T10:00:00.000Z',
  lock: sha256('lock'),
  permissions: { network: ['api.example.test:443'], volumes: [{ path: '/data', mode: 'rw' }], environment: ['TOKEN'] },
  args: [],
  environment: [{ name: 'TOKEN', required: true, secret: true }],
  tools: { digest: sha256('tools'), items: [{ name: 'read', digest: sha256('read') }] },
  instructions: sha256('be nice'),
};

export const BUILD: Build = {
  materials: MATERIALS,
  platforms: ['linux/amd64', 'linux/arm64'],
  before: '2026-08-28T00:00:00Z',
  base: 'node24',
  compressor: 'zlib-6',
  transforms: { dependencies: 'npm/1', server: 'npm/1' },
  builderId: 'urn:mcp-build:builder:local',
  started: new Date('2026-08-31T10:00:00Z'),
  finished: new Date('2026-08-31T10:00:05Z'),
};
