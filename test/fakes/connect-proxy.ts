import http, { type IncomingMessage } from 'node:http';
import net, { type AddressInfo, type Socket } from 'node:net';

export interface ConnectProxy extends AsyncDisposable {
  readonly url: string;
  /** `host:port` of each tunnel that was asked for. */
  readonly tunnels: string[];
  /** Headers of each of them. */
  readonly headers: IncomingMessage['headers'][];
}

/**
 * An HTTP proxy that ends tunnels at ports of this machine: hosts that don't exist can be talked to.
 * @param ports by host
 * @param others what happens to tunnels to any other host; refused by default
 */
export async function startConnectProxy(
  ports: Readonly<Record<string, number>>,
  others: 'refuse' | 'connect' = 'refuse',
): Promise<ConnectProxy> {
  const tunnels: string[] = [];
  const headers: IncomingMessage['headers'][] = [];
  const sockets = new Set<Socket>();
  const server = http.createServer((_, response) => void response.writeHead(501).end());
  server.on('connect', (request, client: Socket) => {
    tunnels.push(request.url ?? '');
    headers.push(request.headers);
    sockets.add(client);
    client.on('error', () => client.destroy());
    const [name = '', asked] = (request.url ?? '').split(':');
    const port = ports[name];
    const host = port === undefined ? name : '127.0.0.1';
    if (port === undefined && others === 'refuse') return void client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
    const target = net.connect(port ?? Number(asked), host, () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      target.pipe(client).pipe(target);
    });
    sockets.add(target);
    target.on('error', () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    tunnels,
    headers,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
