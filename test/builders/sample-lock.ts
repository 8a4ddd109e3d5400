import type { Lock } from '../../builders/index.ts';
import { integrityFromHex, sha256 } from '../../digest/index.ts';

export const integrity = integrityFromHex('sha256', 'ab'.repeat(32));

export const lock: Lock = {
  lockVersion: 1,
  name: 'memory',
  source: { ecosystem: 'npm', name: '@example/memory', range: '', version: '1.2.3' },
  before: '2026-01-01T00:00:00.000Z',
  created: '2025-12-01T00:00:00.000Z',
  native: { 'package-lock.json': sha256('native') },
  base: { kind: 'recipe', recipe: 'node24' },
  entrypoint: ['/usr/local/bin/node', '/app/node_modules/@example/memory/index.js'],
  platforms: {
    'linux/amd64': {
      layers: [
        {
          name: 'base',
          transform: 'debian/1',
          files: [
            {
              kind: 'deb',
              name: 'libc6',
              version: '2.41-12',
              file: 'pool/main/g/glibc/libc6.deb',
              integrity,
              size: 3,
              index: 'trixie',
              architecture: 'amd64',
            },
          ],
        },
        {
          name: 'server',
          transform: 'npm/1',
          files: [
            {
              kind: 'npm',
              name: '@example/memory',
              version: '1.2.3',
              file: 'memory-1.2.3.tgz',
              integrity,
              index: 'default',
              locations: ['node_modules/@example/memory'],
            },
          ],
        },
      ],
    },
  },
};
