import { type AddressInfo, connect, type Socket } from 'node:net';
import tls from 'node:tls';
import type { Issued } from './certificates.ts';

export interface TlsFront extends AsyncDisposable {
  readonly port: number;
}

/** TLS on loopback in front of a fake that speaks plain HTTP: what a company's load balancer does. @param port the fake's */
export async function startTlsFront(port: number, { certificate, key }: Issued): Promise<TlsFront> {
  const sockets = new Set<Socket>();
  const server = tls.createServer({ cert: certificate, key }, (client) => {
    const target = connect(port, '127.0.0.1');
    for (const socket of [client, target]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        target.destroy();
      });
    }
    client.pipe(target).pipe(client);
  });
  // A client that doesn't trust the certificate ends the handshake: its own affair.
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
