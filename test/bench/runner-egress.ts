import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { forwarder } from '../../runner/forwarder.ts';

const SIZE = 512 * 1024 * 1024;

/** Sends so many bytes to whoever says something. In a process of its own, as the internet is. */
export async function origin(): Promise<{ port: number; close(): Promise<void> }> {
  const script = `
    const chunk = Buffer.alloc(1 << 16, 'x');
    require('node:net').createServer((socket) => {
      socket.on('error', () => undefined).once('data', () => {
        let left = ${SIZE};
        const go = () => {
          while (left > 0) {
            left -= chunk.length;
            if (!socket.write(chunk)) return void socket.once('drain', go);
          }
          socket.end();
        };
        go();
      });
    }).listen(0, '127.0.0.1', function () { console.log(this.address().port); });`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const port = Number(await new Promise<string>((resolve) => child.stdout.once('data', (data) => resolve(`${data}`))));
  return {
    port,
    async close() {
      child.kill('SIGKILL');
    },
  };
}

/** The forwarder as it runs beside a server, outside of a container: with its socket and port exchanged. */
export async function forwarderProcess(folder: string, socket: string): Promise<{ port: number; stop(): void }> {
  const runs = forwarder({ entrypoint: ['/usr/local/bin/node'], env: [], annotations: {} });
  const file = join(folder, 'forwarder.cjs');
  const port = await new Promise<number>((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port: free } = server.address() as net.AddressInfo;
      server.close(() => resolve(free));
    });
  });
  writeFileSync(file, String(runs.file.content).replaceAll(runs.socket, socket).replace('3128', String(port)));
  const child = spawn(process.execPath, [file], { stdio: 'inherit' });
  for (let turn = 0; turn < 200; turn += 1) {
    const up = await new Promise((resolve) => {
      const connection = net.connect(port, '127.0.0.1');
      connection.once('connect', () => resolve(true)).once('error', () => resolve(false));
      connection.once('connect', () => connection.destroy());
    });
    if (up) return { port, stop: () => child.kill('SIGKILL') };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('the forwarder did not start');
}

/** Megabytes a second, by a client in a process of its own that reads into one buffer, and so is not what is measured. */
export async function download(port: number, through?: string): Promise<number> {
  const script = `import { receive } from ${JSON.stringify(import.meta.url)}; console.log(await receive(${port}, ${JSON.stringify(through)}));`;
  const child = spawn(process.execPath, ['--no-warnings', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let printed = '';
  child.stdout.on('data', (data) => {
    printed += data;
  });
  await new Promise((resolve) => child.once('close', resolve));
  return Number(printed);
}

export function receive(port: number, through?: string): Promise<number> {
  return new Promise((resolve, reject) => {
    let got = 0;
    let started = 0;
    let open = through === undefined;
    const connection = net.connect({
      port,
      host: '127.0.0.1',
      onread: {
        buffer: Buffer.alloc(1 << 18),
        callback(size: number) {
          if (!open) {
            open = true;
            connection.write('go');
            return true;
          }
          got += size;
          return true;
        },
      },
    });
    connection.once('connect', () => {
      started = performance.now();
      connection.write(through ? `CONNECT ${through} HTTP/1.1\r\nhost: ${through}\r\n\r\n` : 'go');
    });
    connection.once('error', reject).once('close', () => {
      if (got < SIZE) return reject(new Error(`only ${got} bytes came`));
      resolve(SIZE / 1e6 / ((performance.now() - started) / 1000));
    });
  });
}
