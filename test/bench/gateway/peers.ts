import type { ChildProcess } from 'node:child_process';
import { createServer } from 'node:net';

/** TBXark's mcp-proxy with a token and a tool filter. Its configuration is a file that only it reads. */
export function tbxarkCommand(program: string, port: number, behind: readonly string[]): readonly string[] {
  const mcpProxy = {
    baseURL: `http://127.0.0.1:${port}`,
    addr: `127.0.0.1:${port}`,
    name: 'p',
    version: '1',
    type: 'streamable-http',
  };
  const [command, ...args] = behind;
  const options = { authTokens: ['bench-token'], toolFilter: { mode: 'block', list: ['other'] } };
  const config = JSON.stringify({ mcpProxy, mcpServers: { echo: { command, args, options } } });
  return ['sh', '-c', 'f=$(mktemp) && printf %s "$1" >"$f" && exec "$0" --config "$f"', program, config];
}

/** Waits for the first answer of a proxy to a client's greeting. */
export async function answers(url: string, child: ChildProcess): Promise<void> {
  const end = Date.now() + 60_000;
  const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'probe', version: '1' } };
  for (;;) {
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          authorization: 'Bearer bench-token',
        },
        body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params }),
      });
      if ((await response.text()).includes('"serverInfo"')) return;
    } catch {
      // Not yet.
    }
    if (child.exitCode !== null || Date.now() > end) throw new Error('it did not start');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}
