import { McpBuildError } from '../errors/index.ts';
import { READY_PATH } from './egress.ts';
import type { RunImage } from './image.ts';
import { interpreterOf, type Private } from './private.ts';

/** Where servers find their way out, inside: the port that HTTP proxies traditionally have. */
const PORT = 3128;
const SOCKET = '/run/mcp-build/egress.sock';

/** What HTTP clients look at. Names of both cases, as some know only one. */
export const PROXY_VARIABLES: Readonly<Record<string, string>> = {
  ...both('HTTP_PROXY', `http://127.0.0.1:${PORT}`),
  ...both('HTTPS_PROXY', `http://127.0.0.1:${PORT}`),
  ...both('NO_PROXY', 'localhost,127.0.0.1,::1'),
  // Node's own fetch looks at none of them without being told to.
  NODE_USE_ENV_PROXY: '1',
};

export interface Forwarder {
  readonly entrypoint: readonly string[];
  readonly args: readonly string[];
  readonly file: Private;
  /** Where the proxy's socket is mounted. */
  readonly socket: string;
}

/**
 * What listens on the loopback of a server's network namespace and passes everything to the proxy's socket. It is run by the interpreter of the server's
 * own image: nothing is trusted to it, since whatever comes through the socket is judged on the other side.
 * @throws McpBuildError `egress-unsupported` for an image without Node or Python
 */
export function forwarder(image: Pick<RunImage, 'entrypoint' | 'env' | 'annotations'>): Forwarder {
  const interpreter = interpreterOf(image);
  if (!interpreter) {
    throw new McpBuildError({
      code: 'egress-unsupported',
      message: `"${image.entrypoint[0] ?? ''}" can't be given single destinations: its image has neither Node nor Python`,
      fix: 'Give it the whole network with --allow-net all, or none.',
    });
  }
  const target = `/run/mcp-build/forwarder.${interpreter.kind === 'node' ? 'cjs' : 'py'}`;
  return {
    entrypoint: [interpreter.program],
    args: interpreter.kind === 'node' ? [target] : ['-I', '-S', target],
    file: { target, content: interpreter.kind === 'node' ? NODE : PYTHON },
    socket: SOCKET,
  };
}

function both(name: string, value: string): Record<string, string> {
  return { [name]: value, [name.toLowerCase()]: value };
}

const NODE = `'use strict';
const net = require('node:net');
const open = (onread) => net.connect({ path: '${SOCKET}', allowHalfOpen: true, onread });
const server = net.createServer({ allowHalfOpen: true }, (inside) => {
  let waiting = false;
  const onWritten = () => {
    if (!waiting) return;
    waiting = false;
    outside.resume();
  };
  const callback = (size, buffer) => {
    if (!inside.writable) return true;
    inside.write(buffer.subarray(0, size), onWritten);
    waiting = inside.writableLength > 0;
    return !waiting;
  };
  const outside = open({ buffer: Buffer.alloc(65536), callback });
  inside.pipe(outside);
  outside.on('end', () => inside.end());
  for (const [one, other] of [[inside, outside], [outside, inside]]) {
    one.on('error', () => other.destroy());
    one.on('close', () => other.destroy());
  }
});
server.listen(${PORT}, '127.0.0.1', () => {
  const ready = open();
  ready.on('error', () => process.exit(1));
  ready.end('GET ${READY_PATH} HTTP/1.1\\r\\nhost: proxy\\r\\nconnection: close\\r\\n\\r\\n');
  ready.resume();
});
`;

const PYTHON = `import socket, threading


def outside():
    to = socket.socket(socket.AF_UNIX)
    to.connect('${SOCKET}')
    return to


def copy(one, other):
    buffer = memoryview(bytearray(65536))
    try:
        while True:
            size = one.recv_into(buffer)
            if size == 0:
                break
            other.sendall(buffer[:size])
        other.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def serve(inside):
    try:
        to = outside()
    except OSError:
        inside.close()
        return
    back = threading.Thread(target=copy, args=(to, inside), daemon=True)
    back.start()
    copy(inside, to)
    back.join()
    to.close()
    inside.close()


threading.stack_size(262144)
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(('127.0.0.1', ${PORT}))
listener.listen(128)
ready = outside()
ready.sendall(b'GET ${READY_PATH} HTTP/1.1\\r\\nhost: proxy\\r\\nconnection: close\\r\\n\\r\\n')
ready.close()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
`;
