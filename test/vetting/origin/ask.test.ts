import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { askIndexes } from '../../../cli/line/audit-ask.ts';
import { homeOf } from '../../../cli/line/home.ts';
import { integrityFromHex } from '../../../digest/index.ts';
import { DEFAULT_VETTING } from '../../../trust/index.ts';
import { npmPackage, wheelPackage } from '../packages.ts';

const fixture = new URL('../../fixtures/vetting/provenance.json', import.meta.url);
const recorded = JSON.parse(await readFile(fixture, 'utf8')) as Record<
  string,
  {
    verificationMaterial: { certificate: { rawBytes: string }; tlogEntries: object[] };
    dsseEnvelope: { payload: string; signatures: { sig: string }[] };
  }
>;
const hash = (algorithm: 'sha256' | 'sha512', text: string) => createHash(algorithm).update(text).digest('hex');
const integrity = integrityFromHex('sha512', hash('sha512', 'server'));
const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const spki = publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
const FILE = 'acme_server-1.0.0-py3-none-any.whl';

/** The registry's and the index's protocols on one loopback server: documents, keys, attestations, simple API, provenance. */
function answers(url: string): Readonly<Record<string, unknown>> {
  const wheel = recorded.wheel!;
  return {
    '/@acme/server': {
      name: '@acme/server',
      'dist-tags': { latest: '1.0.0' },
      time: { '1.0.0': '2026-01-01T00:00:00.000Z' },
      versions: {
        '1.0.0': {
          name: '@acme/server',
          version: '1.0.0',
          deprecated: 'use another',
          dist: {
            tarball: `${url}/@acme/server/-/server-1.0.0.tgz`,
            integrity,
            signatures: [
              {
                keyid: 'SHA256:k',
                sig: sign('sha256', Buffer.from(`@acme/server@1.0.0:${integrity}`), privateKey).toString('base64'),
              },
            ],
            attestations: {
              url: `https://elsewhere.test/-/npm/v1/attestations/@acme%2fserver@1.0.0`,
              provenance: { predicateType: 'https://slsa.dev/provenance/v1' },
            },
          },
        },
      },
    },
    '/-/npm/v1/keys': {
      keys: [
        { keyid: 'SHA256:k', keytype: 'ecdsa-sha2-nistp256', scheme: 'ecdsa-sha2-nistp256', key: spki, expires: null },
      ],
    },
    '/-/npm/v1/attestations/@acme/server@1.0.0': {
      attestations: [{ predicateType: 'https://slsa.dev/provenance/v1', bundle: recorded.npm }],
    },
    '/simple/acme-server/': {
      meta: { 'api-version': '1.3' },
      name: 'acme-server',
      files: [
        {
          filename: FILE,
          url: `${url}/files/${FILE}`,
          hashes: { sha256: hash('sha256', 'wheel') },
          size: 5,
          'upload-time': '2026-01-01T00:00:00Z',
          yanked: 'broken',
          provenance: `${url}/integrity/acme-server/1.0.0/${FILE}/provenance`,
        },
      ],
    },
    [`/integrity/acme-server/1.0.0/${FILE}/provenance`]: {
      version: 1,
      attestation_bundles: [
        {
          publisher: { kind: 'GitHub', repository: 'acme/servers', workflow: 'release.yml' },
          attestations: [
            {
              version: 1,
              verification_material: {
                certificate: wheel.verificationMaterial.certificate.rawBytes,
                transparency_entries: wheel.verificationMaterial.tlogEntries,
              },
              envelope: { statement: wheel.dsseEnvelope.payload, signature: wheel.dsseEnvelope.signatures[0]?.sig },
            },
          ],
        },
      ],
    },
  };
}

describe('what indexes are asked', () => {
  let server: Server;
  let folder: string;
  let environment: Record<string, string>;
  let broken = '';
  beforeAll(async () => {
    let known: Readonly<Record<string, unknown>> = {};
    server = createServer((request, response) => {
      const path = decodeURIComponent((request.url ?? '').split('?')[0] ?? '');
      const value = known[path];
      response.writeHead(value === undefined ? 404 : 200, {
        'content-type': path.startsWith('/simple') ? 'application/vnd.pypi.simple.v1+json' : 'application/json',
      });
      response.end(broken !== '' && path.includes(broken) ? '<html>' : JSON.stringify(value ?? {}));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    known = answers(url);
    folder = await mkdtemp(join(tmpdir(), 'mcp-build-ask-'));
    await writeFile(join(folder, 'npmrc'), `registry=${url}/\nfetch-retries=0\n`);
    await writeFile(join(folder, 'root.json'), JSON.stringify(recorded.trustedRoot));
    environment = {
      HOME: folder,
      PATH: join(folder, 'bin'),
      MCP_BUILD_HOME: join(folder, 'home'),
      MCP_BUILD_PROVENANCE_ROOT: join(folder, 'root.json'),
      npm_config_userconfig: join(folder, 'npmrc'),
      npm_config_globalconfig: join(folder, 'none'),
      UV_DEFAULT_INDEX: `${url}/simple`,
    };
  });
  afterAll(async () => {
    server.close();
    await rm(folder, { recursive: true, force: true });
  });

  const npm = npmPackage('@acme/server', '1.0.0', { integrity });
  const wheel = wheelPackage('acme-server', '1.0.0', {
    file: FILE,
    integrity: integrityFromHex('sha256', hash('sha256', 'wheel')),
  });
  const ask = (home: string) =>
    askIndexes([npm, wheel], {
      home: homeOf({ MCP_BUILD_HOME: join(folder, home) }),
      environment: { ...environment },
      workspace: undefined,
      rules: DEFAULT_VETTING,
      now: new Date(),
    });

  it('is answered with listings, signatures and provenance, through a mirror too', async () => {
    const { listings, provenance } = await ask('one');
    expect(listings?.get(npm.ref)).toMatchObject({ state: 'listed', deprecated: 'use another' });
    expect(listings?.get(wheel.ref)).toMatchObject({ state: 'listed', yanked: 'broken' });
    const origin = { repository: 'https://github.com/acme/servers' };
    expect(provenance?.get(npm.ref)).toMatchObject({
      signature: { state: 'valid' },
      attestation: { state: 'attested', origin },
    });
    expect(provenance?.get(wheel.ref)).toMatchObject({ attestation: { state: 'attested', origin } });
  });

  it('is nothing about a file that no index has: whoever took its name there would answer for it', async () => {
    const files = [
      npmPackage('@acme/server', '1.0.0', { index: 'file:' }),
      wheelPackage('acme-server', '1.0.0', { index: 'file:' }),
    ];
    const { listings, provenance } = await askIndexes(files, {
      home: homeOf({ MCP_BUILD_HOME: join(folder, 'five') }),
      environment: { ...environment },
      workspace: undefined,
      rules: DEFAULT_VETTING,
      now: new Date(),
    });
    expect([...(listings?.keys() ?? []), ...(provenance?.keys() ?? [])]).toEqual([]);
  });

  it('is unknown, never absent, where a login page answers', async () => {
    broken = 'attestations';
    expect((await ask('two')).provenance?.get(npm.ref)?.attestation.state).toBe('unknown');
    broken = '/provenance';
    expect((await ask('three')).provenance?.get(wheel.ref)?.attestation.state).toBe('unknown');
    broken = 'keys';
    expect((await ask('four')).provenance?.get(npm.ref)?.signature.state).toBe('invalid');
    broken = '';
  });
});
