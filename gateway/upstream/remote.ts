import type { Transport } from '@modelcontextprotocol/client';
import { McpBuildError } from '../../errors/index.ts';
import type { Channel, OpenChannel } from './channel.ts';

export interface RemoteChannel {
  readonly url: string;
  /** Sent with every request: what this gateway's own clients sent is never among it. */
  readonly headers: Readonly<Record<string, string>>;
  /** The other one is tried where none is named and the first is refused. */
  readonly transport: 'sse' | 'streamable-http' | undefined;
  readonly oauth:
    | {
        readonly clientId: string;
        readonly clientSecret?: string | undefined;
        readonly scopes?: readonly string[] | undefined;
      }
    | undefined;
}

/** A server elsewhere. @throws McpBuildError `remote-unavailable` */
export function remoteChannel(options: RemoteChannel): OpenChannel {
  return async (receive) => {
    // Only gateways with such servers pay for loading it.
    const { ClientCredentialsProvider, SSEClientTransport, StreamableHTTPClientTransport } = await import(
      '@modelcontextprotocol/client'
    );
    const { url, headers, oauth } = options;
    const authProvider =
      oauth?.clientSecret === undefined
        ? undefined
        : new ClientCredentialsProvider({
            clientId: oauth.clientId,
            clientSecret: oauth.clientSecret,
            ...(oauth.scopes ? { scope: oauth.scopes.join(' ') } : {}),
          });
    const settings = { requestInit: { headers: { ...headers } }, ...(authProvider ? { authProvider } : {}) };
    const sse =
      options.transport === 'sse' || (options.transport === undefined && /\/sse\/?$/.test(new URL(url).pathname));
    const transport: Transport = sse
      ? new SSEClientTransport(new URL(url), settings)
      : new StreamableHTTPClientTransport(new URL(url), settings);
    let end: (why: string) => void = () => undefined;
    const ended = new Promise<string>((resolve) => {
      end = resolve;
    });
    transport.onclose = () => end('the connection was closed');
    transport.onmessage = (message) => receive(Buffer.from(JSON.stringify(message)));
    transport.onerror = () => undefined;
    try {
      await transport.start();
    } catch (cause) {
      throw unavailable(url, cause);
    }
    const channel: Channel = {
      send(text) {
        const message = JSON.parse(text) as { id?: unknown; method?: unknown };
        transport.send(message as never).catch((error: unknown) => failed(message, error));
        return true;
      },
      ended,
      async close() {
        if ('terminateSession' in transport) {
          const bye = (transport as { terminateSession(): Promise<void> }).terminateSession().catch(() => undefined);
          await Promise.race([bye, new Promise((resolve) => setTimeout(resolve, 2_000).unref())]);
        }
        await transport.close().catch(() => undefined);
        end('it was closed');
      },
    };
    return channel;

    /** A request that could not be sent is answered, here, by an error. */
    function failed(message: { id?: unknown; method?: unknown }, error: unknown): void {
      const reason = error instanceof Error ? error.message : String(error);
      const { status } = error as { status?: unknown };
      if (message.method !== undefined && message.id !== undefined) {
        const answer = { jsonrpc: '2.0', id: message.id, error: { code: -32000, message: `${place(url)}: ${reason}` } };
        receive(Buffer.from(JSON.stringify(answer)));
      }
      // A session that it doesn't know any more: everything starts anew.
      if (status === 404 || /ECONNREFUSED|fetch failed/.test(reason)) end(`${place(url)} is gone: ${reason}`);
    }
  };
}

function unavailable(url: string, cause: unknown): McpBuildError {
  return new McpBuildError({
    code: 'remote-unavailable',
    message: `${place(url)} can't be reached: ${cause instanceof Error ? cause.message : String(cause)}`,
    input: place(url),
    fix: 'Check the address, and the headers it asks for.',
    exit: 5,
    cause,
  });
}

/** Without the query, in which some services want their key. */
function place(url: string): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}
