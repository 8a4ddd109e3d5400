import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDeflateRaw, constants as zlib } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NpmArtifact } from '../../builders/index.ts';
import { advisoriesApi } from '../../cli/line/advisories.ts';
import { askIndexes } from '../../cli/line/audit-ask.ts';
import { homeOf } from '../../cli/line/home.ts';
import { DEFAULT_VETTING } from '../../trust/index.ts';
import { checkAdvisories } from '../../vetting/advisories/check.ts';
import {
  applyVex,
  decide,
  finding,
  type Listing,
  onlineAdvisories,
  parseVex,
  purlOfSubject,
  readContents,
} from '../../vetting/index.ts';
import { checkListings } from '../../vetting/origin/listing.ts';
import { lock } from '../builders/sample-lock.ts';
import { tarGz, tarHeader } from '../fakes/archives.ts';
import { tarball } from '../fakes/npm-registry.ts';
import { flaw, osv } from '../fakes/osv.ts';
import { npmPackage } from './packages.ts';

const now = new Date('2026-11-01T00:00:00Z');

async function serve(listener: RequestListener) {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe('a registry', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mcp-build-bad-input-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const one = npmPackage('sample', '1.0.0');
  let asked = 0;
  async function found(url: string) {
    asked += 1;
    await writeFile(join(folder, 'npmrc'), `registry=${url}/\nfetch-retries=0\nfetch-timeout=300\n`);
    const { listings = new Map<string, Listing>() } = await askIndexes([one], {
      home: homeOf({ MCP_BUILD_HOME: join(folder, String(asked)) }),
      environment: {
        HOME: folder,
        PATH: join(folder, 'bin'),
        npm_config_userconfig: join(folder, 'npmrc'),
        npm_config_globalconfig: join(folder, 'none'),
      },
      workspace: undefined,
      rules: DEFAULT_VETTING,
      now,
    });
    const known = { lock, native: {}, contents: new Map(), packages: [one], rules: DEFAULT_VETTING, now, listings };
    return checkListings(known).map(({ code, message }) => `${code}: ${message}`);
  }

  it.each([
    ['nothing', ''],
    ['null', 'null'],
    ['a list', '[]'],
    ['a page', '<html>Log in</html>'],
    ['half a document', '{"name":"sample","versions":{"1.0.0":'],
    ['a document without versions', '{"name":"sample"}'],
    ['versions that are none', '{"name":"sample","versions":[1]}'],
    ['another package', '{"name":"other","versions":{}}'],
    ['a thousand lists in each other', `${'['.repeat(1000)}${']'.repeat(1000)}`],
  ])('that answers %s leaves what it should have said unchecked, by name', async (_, text) => {
    await using server = await serve((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(text);
    });
    expect(await found(server.url)).toEqual([expect.stringContaining('not-checked: Its index could not be asked')]);
  });

  it.each([
    ['a version that is none', '{"name":"sample","versions":{"1.0.0":5}}'],
    ['a version of another name', '{"name":"sample","versions":{"1.0.0":{"name":"x","version":"1.0.0"}}}'],
  ])('that lists %s does not list it', async (_, text) => {
    await using server = await serve((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(text);
    });
    expect(await found(server.url)).toEqual(['withdrawn: Its index no longer lists it']);
  });

  it.each<[string, RequestListener]>([
    ['says nothing', () => undefined],
    [
      'stops within its answer',
      (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.write('{"name":"sample",');
      },
    ],
  ])('that %s is given up, by name', async (_, listener) => {
    await using server = await serve(listener);
    expect(await found(server.url)).toEqual([expect.stringContaining('not-checked: Its index could not be asked')]);
  });

  it.each<[string, RequestListener]>([
    ['say nothing', () => undefined],
    [
      'stop within their answer',
      (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.write('{"results":[');
      },
    ],
  ])('of advisories that %s is an error, never an empty list', async (_, listener) => {
    await using server = await serve(listener);
    await expect(onlineAdvisories([one], advisoriesApi({}, server.url, 300)!, now)).rejects.toMatchObject({
      code: 'advisories-unavailable',
      exit: 5,
    });
  });

  it.each(['{}', 'null', '{"id":"GHSA-1"}', '{"id":"GHSA-1","modified":"2026-10-30T00:00:00Z","affected":"all"}'])(
    'of advisories that answers %s for a record is refused',
    async (text) => {
      const service = await osv([flaw('GHSA-1', 'npm', 'sample', [{ introduced: '0' }])], {
        fault: (path) => (path.includes('vulns') ? { status: 200, text } : undefined),
      });
      try {
        const advisories = await onlineAdvisories([one], advisoriesApi({}, service.url)!, now);
        expect(advisories.unread).toBe(1);
        const known = {
          lock,
          native: {},
          contents: new Map(),
          packages: [one],
          rules: DEFAULT_VETTING,
          now,
          advisories,
        };
        expect(decide(checkAdvisories(known), DEFAULT_VETTING, now).refused).toMatchObject([
          { code: 'advisories-missing', message: '1 advisories could not be read' },
        ]);
      } finally {
        await service.close();
      }
    },
  );
});

describe('a VEX document', () => {
  const subject = 'npm:sample@1.0.0';
  const flawed = finding('known-vulnerable', subject, 'bad', { id: 'CVE-2026-1', severity: 'high' });
  const malware = finding('malware', subject, 'bad', { id: 'MAL-2026-1' });
  const document = (statement: object) =>
    JSON.stringify({
      '@context': 'https://openvex.dev/ns/v0.2.0',
      '@id': 'urn:example:vex',
      author: 'someone',
      timestamp: '2026-11-01T00:00:00Z',
      statements: [
        {
          vulnerability: { name: 'CVE-2026-1' },
          products: [{ '@id': purlOfSubject(subject) }],
          status: 'not_affected',
          justification: 'component_not_present',
          ...statement,
        },
      ],
    });
  const severities = (text: string) =>
    applyVex([flawed, malware], [parseVex(text, 'vex.json')]).map(({ severity }) => severity);

  it('excuses what it names with a reason, and never malware', () => {
    expect(severities(document({}))).toEqual(['none', 'critical']);
    expect(severities(document({ vulnerability: 'MAL-2026-1' }))).toEqual(['high', 'critical']);
  });

  it.each([
    ['', 'its root'],
    ['null', 'its root'],
    ['[]', 'its root'],
    ['<html>', 'its root'],
    ['{"@context":"https://elsewhere.test"}', '@context'],
    [document({ status: 'harmless' }), 'statements.0.status'],
    [document({ products: 'all' }), 'statements.0.products'],
    [document({ vulnerability: 5 }), 'statements.0.vulnerability'],
    [document({ products: [{ '@id': `pkg:npm/${'x'.repeat(3000)}` }] }), 'statements.0.products.0.@id'],
  ])('that is none is refused, with where: %.60s', (text, where) => {
    expect(() => parseVex(text, 'vex.json')).toThrowError(
      expect.objectContaining({ code: 'vex-invalid', input: 'vex.json', message: expect.stringContaining(where) }),
    );
  });

  it.each([
    ['gives no reason', { justification: undefined }],
    ['names no package', { products: [] }],
    ['names it by escapes that are no text', { products: [{ '@id': 'pkg:npm/%ff%fe@1.0.0' }] }],
    ['names it by half an escape', { products: [{ '@id': 'pkg:npm/sample@1.0.0%' }] }],
    ['is about another version', { products: [{ '@id': 'pkg:npm/sample@1.0.1' }] }],
  ])('that %s excuses nothing', (_, statement) => {
    expect(severities(document(statement))).toEqual(['high', 'critical']);
  });
});

describe('a package', () => {
  const artifact = npmPackage('sample', '1.0.0').files[0] as NpmArtifact;
  const manifest = JSON.stringify({ name: 'sample', version: '1.0.0', license: 'MIT' });
  const MiB = 1024 * 1024;

  it('of 500 MB is refused for what it unpacks to, long before its end', async () => {
    // One mebibyte of zeros, packed so that it may be repeated within one stream.
    const deflate = createDeflateRaw();
    const parts: Buffer[] = [];
    deflate.on('data', (part: Buffer) => parts.push(part));
    deflate.write(tarHeader({ name: 'package/large.js', size: 500 * MiB }));
    await new Promise<void>((resolve) => deflate.flush(zlib.Z_FULL_FLUSH, resolve));
    const head = parts.splice(0);
    deflate.write(Buffer.alloc(MiB));
    await new Promise<void>((resolve) => deflate.flush(zlib.Z_FULL_FLUSH, resolve));
    const block = Buffer.concat(parts);
    deflate.destroy();
    let given = 0;
    // Nor would it ever end: what it decodes to has no limit of its own.
    async function* forever() {
      yield Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
      for (const part of head) yield part;
      for (; given < 100_000; given += 1) yield block;
    }
    await expect(readContents(artifact, forever)).rejects.toMatchObject({ code: 'archive-unsafe' });
    // Of the packed bytes 2 MiB are held before an archive is streamed.
    expect(given).toBeLessThan(5_000);
  });

  it('that says it has 500 MB, and hasn’t, is no package', async () => {
    const bytes = tarGz(tarHeader({ name: 'package/large.js', size: 500 * MiB }), Buffer.alloc(MiB, 'x;\n'));
    await expect(readContents(artifact, () => chunks(bytes))).rejects.toMatchObject({ code: 'archive-invalid' });
  });

  it('that says it has more than any may have is refused by its header', async () => {
    const bytes = tarGz(tarHeader({ name: 'package/large.js', size: 3 * 1024 * MiB }));
    await expect(readContents(artifact, () => chunks(bytes))).rejects.toMatchObject({ code: 'archive-unsafe' });
  });

  it('of 50,000 files is read to the last one, and told in a few lines', async () => {
    const members = Array.from({ length: 50_000 }, (_, at) => ({
      path: `package/lib/${at}.js`,
      content: `eval(x);fetch("https://host-${at}.sample.dev");process.env.NAME_${at}`,
    }));
    const bytes = tarball([
      { path: 'package/package.json', content: manifest },
      ...members,
      { path: 'package/last.js', content: 'eval(await (await fetch(u)).text())' },
    ]);
    const read = await readContents(artifact, () => chunks(bytes));
    expect(read.files).toBe(50_002);
    expect(read.downloads).toMatchObject([{ path: 'last.js' }]);
    expect(JSON.stringify(read).length).toBeLessThan(100_000);
  });
});

async function* chunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
