import { execFile, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { openLayout, readDocument } from '../../registry/index.ts';
import { docker, parseEndpoint, parsePermissions, reaper, runContainer } from '../../runner/index.ts';
import { makeAuthority } from '../fakes/certificates.ts';
import { programEntries, putImage, putLayer, textEntry } from '../fakes/docker-image.ts';

const SIZE = 256 * 1024 * 1024;
const HOST = 'download.example.test';
// An address of the internet, since the proxy refuses all others, on a network that only this bench has.
const NETWORK = `11.98.${100 + (process.pid % 100)}.0/24`;
const GATEWAY = NETWORK.replace('0/24', '1');
/** For one download, in milliseconds. */
const TIMEOUT = 60_000;

/** Says how many megabytes of a download it got in a second. */
const CLIENT = `
import { get } from 'node:https';
const started = performance.now();
get(process.argv[2], (answer) => {
  let got = 0;
  answer.on('data', (chunk) => { got += chunk.length; });
  answer.on('end', () => console.log(got / 1e6 / ((performance.now() - started) / 1000)));
});
`;

/** A server's download over HTTPS, from containers of one image: on a bridge of Docker's, and through forwarder and proxy. */
export interface Downloads {
  /** In megabytes a second. */
  bridged(): Promise<number>;
  proxied(): Promise<number>;
  close(): Promise<void>;
}

export async function downloads(folder: string, host: string): Promise<Downloads> {
  using authority = makeAuthority();
  const { certificate, key } = authority.issue([HOST]);
  const origin = await httpsOrigin(folder, certificate, key);
  const url = `https://${HOST}:${origin.port}/`;
  const store = await openLayout(join(folder, 'download-store'));
  const node = await putLayer(store, await programEntries(process.execPath, 'usr/local/bin/node'));
  const app = await putLayer(store, [textEntry('app/client.mjs', CLIENT), textEntry('app/ca.crt', authority.ca)]);
  const image = await putImage(store, [node, app], {
    entrypoint: ['/usr/local/bin/node', '/app/client.mjs'],
    env: ['PATH=/usr/local/bin', 'HOME=/home/nonroot', 'NODE_EXTRA_CA_CERTS=/app/ca.crt'],
  });
  const manifest = JSON.parse(`${await readDocument(store, image)}`) as { config: { digest: string } };
  const execute = async (...words: string[]) =>
    (await promisify(execFile)('docker', words, { env: { ...process.env, DOCKER_HOST: host }, timeout: TIMEOUT }))
      .stdout;
  const network = `mcp-build-bench-${process.pid}`;
  await execute('network', 'create', '--subnet', NETWORK, '--gateway', GATEWAY, network);
  return {
    async bridged() {
      const known = ['--network', network, '--add-host', `${HOST}:${GATEWAY}`];
      return Number(await execute('run', '--rm', ...known, manifest.config.digest, url));
    },
    async proxied() {
      const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
      const [said, complained] = [text(streams.stdout), text(streams.stderr)];
      const state = join(folder, 'download-state');
      await runContainer({
        runtime: docker(parseEndpoint(host)),
        store,
        image,
        server: { name: 'download' },
        permissions: parsePermissions({ network: [`${HOST}:${origin.port}`] }),
        args: [url],
        environment: {},
        reaper: reaper({ folder: join(state, 'run'), idle: 3_000 }),
        machine: {
          home: folder,
          state,
          run: join(state, 'run'),
          environment: {},
          uid: process.getuid?.(),
          gid: process.getgid?.(),
        },
        say: () => undefined,
        streams,
        resolve: async () => [GATEWAY],
      });
      streams.stdout.end();
      streams.stderr.end();
      const rate = Number(await said);
      if (!(rate > 0)) throw new Error(`the download failed: ${await complained}`);
      return rate;
    },
    async close() {
      origin.stop();
      await execute('network', 'rm', network);
    },
  };
}

async function httpsOrigin(folder: string, cert: string, key: string): Promise<{ port: number; stop(): void }> {
  const file = join(folder, 'origin.mjs');
  writeFileSync(
    file,
    `import { createServer } from 'node:https';
     const chunk = Buffer.alloc(1 << 16, 'x');
     createServer(${JSON.stringify({ cert, key })}, (request, response) => {
       response.setHeader('content-length', ${SIZE});
       let left = ${SIZE};
       const go = () => {
         while (left > 0) {
           left -= chunk.length;
           if (!response.write(chunk)) return void response.once('drain', go);
         }
         response.end();
       };
       go();
     }).listen(0, '0.0.0.0', function () { console.log(this.address().port); });`,
    { mode: 0o600 },
  );
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] });
  const port = Number(await new Promise<string>((resolve) => child.stdout.once('data', (data) => resolve(`${data}`))));
  return { port, stop: () => child.kill('SIGKILL') };
}
