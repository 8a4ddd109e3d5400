import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface PackageManifest {
  readonly name: string;
  readonly version: string;
  readonly bin?: Readonly<Record<string, string>>;
}

/** What the registry does to the tarball on its way: `truncated` ends it early, `swapped` serves another one of the same length. */
export type PackageFault = 'truncated' | 'swapped';

/** A registry with one package, published long ago, packed by the system's tar as `npm pack` would. */
export function fakePackage(
  manifest: PackageManifest,
  fault?: PackageFault,
): { readonly listener: http.RequestListener } {
  const tarball = pack(manifest);
  const integrity = `sha512-${createHash('sha512').update(tarball).digest('base64')}`;
  const shasum = createHash('sha1').update(tarball).digest('hex');
  const file = `${manifest.name}-${manifest.version}.tgz`;
  const listener: http.RequestListener = (request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://127.0.0.1').pathname);
    if (path === `/${manifest.name}/-/${file}`) return send(response, tarball, fault);
    if (path !== `/${manifest.name}`) {
      response.writeHead(404, { 'content-type': 'application/json' });
      response.end('{"error":"not found"}');
      return;
    }
    const dist = { integrity, shasum, tarball: `http://${request.headers.host}/${manifest.name}/-/${file}` };
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify({
        name: manifest.name,
        'dist-tags': { latest: manifest.version },
        versions: { [manifest.version]: { ...manifest, dist } },
        time: { created: '2020-01-01T00:00:00.000Z', [manifest.version]: '2020-01-01T00:00:00.000Z' },
      }),
    );
  };
  return { listener };
}

function send(response: http.ServerResponse, tarball: Buffer, fault: PackageFault | undefined): void {
  const bytes = Buffer.from(tarball);
  // The deflate stream's middle: the gzip header stays right.
  if (fault === 'swapped') bytes.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 0xff, bytes.length >> 1);
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': bytes.length });
  if (fault === 'truncated') response.write(bytes.subarray(0, bytes.length >> 1), () => response.destroy());
  else response.end(bytes);
}

function pack(manifest: PackageManifest): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-build-pack-'));
  try {
    mkdirSync(join(folder, 'package'));
    writeFileSync(join(folder, 'package/package.json'), JSON.stringify(manifest));
    writeFileSync(join(folder, 'package/index.js'), '#!/usr/bin/env node\n');
    execFileSync('tar', ['czf', 'package.tgz', 'package'], { cwd: folder });
    return readFileSync(join(folder, 'package.tgz'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
