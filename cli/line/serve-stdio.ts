import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bridge, type GatewayConfig, hashToken, type Identity } from '../../gateway/index.ts';

/** A gateway for the one client that started it: on a socket that nobody else can open, and a token that nobody else has. */
export interface OwnGateway {
  /** The configuration as it is served: what is about callers from elsewhere doesn't count. */
  adapt(config: GatewayConfig): GatewayConfig;
  readonly tokens: ReadonlyMap<string, Identity>;
  /** Serves stdin and stdout. @param settled when every server has been prepared @returns when the client has gone */
  serve(settled: Promise<unknown>): Promise<void>;
}

/** A first start locks and builds; a client gives up on a server that says nothing for long. In milliseconds. */
const PATIENCE = 25_000;

export async function ownGateway(): Promise<OwnGateway> {
  const folder = await mkdtemp(join(tmpdir(), 'mcp-build-stdio-'));
  const socket = join(folder, 'gateway.sock');
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const token = randomBytes(32).toString('base64url');
  const identity: Identity = {
    id: 'stdio',
    name: 'stdio',
    expires: undefined,
    servers: undefined,
    tools: undefined,
    powers: new Map([['call', undefined]]),
  };
  return {
    adapt: (config) => ({
      ...config,
      address: { kind: 'unix', path: socket },
      tls: undefined,
      oauth: undefined,
      requestsPerSecond: undefined,
    }),
    tokens: new Map([[hashToken(token), identity]]),
    serve(settled) {
      const late = new Promise((resolve) => setTimeout(resolve, PATIENCE).unref());
      const ready = Promise.race([settled, late]);
      return bridge({ socket, token, input: process.stdin, output: process.stdout, ready });
    },
  };
}
