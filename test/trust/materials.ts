import { createHash } from 'node:crypto';
import { sha256 } from '../../digest/index.ts';
import { type Material, type Materials, nameOf } from '../../trust/index.ts';

const sha512 = (text: string) => `sha512-${createHash('sha512').update(text).digest('base64')}` as const;

const zod: Material = {
  kind: 'npm',
  name: 'zod',
  version: '4.1.0',
  file: 'zod-4.1.0.tgz',
  integrity: sha512('zod'),
  layer: 'dependencies',
  license: 'MIT',
};
const dual: Material = {
  ...zod,
  name: '@scope/dual',
  version: '1.0.0-rc.1',
  file: 'dual-1.0.0-rc.1.tgz',
  license: '(MIT OR Apache-2.0)',
};
const prose: Material = { ...zod, name: 'prose', file: 'prose-4.1.0.tgz', license: 'SEE LICENSE IN LICENSE.md' };

export const MATERIALS: Materials = {
  name: 'server-memory',
  source: { ecosystem: 'npm', name: '@example/server-memory', range: '^1', version: '1.2.3' },
  platform: 'linux/amd64',
  created: '2026-08-31T10:00:00.000Z',
  lock: sha256('lock'),
  builder: '0.1.0',
  files: [
    {
      kind: 'npm',
      name: '@example/server-memory',
      version: '1.2.3',
      file: 'server-memory-1.2.3.tgz',
      integrity: sha512('server'),
      layer: 'server',
      license: 'MIT',
      needs: [nameOf(zod), nameOf(dual), 'pkg:npm/not-there@1#x'],
    },
    zod,
    { ...zod },
    dual,
    prose,
    {
      kind: 'wheel',
      name: 'Pydantic_Core',
      version: '2.1',
      file: 'pydantic_core-2.1-cp313-cp313-manylinux_2_17_x86_64.whl',
      integrity: sha256('w'),
      layer: 'dependencies',
    },
    {
      kind: 'deb',
      name: 'libc6',
      version: '2.41-12+deb13u1',
      file: 'pool/main/g/glibc/libc6_2.41-12+deb13u1_amd64.deb',
      integrity: sha256('deb'),
      layer: 'base',
      architecture: 'amd64',
    },
    {
      kind: 'image',
      name: 'company-base',
      version: '',
      file: 'company-base',
      integrity: sha256('base'),
      layer: 'base',
    },
    { kind: 'tool', name: 'uv', version: '0.13.1', file: 'uv-0.13.1.whl', integrity: sha256('uv'), layer: 'tool' },
  ],
};
