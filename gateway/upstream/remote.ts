import type { StreamableHTTPClientTransport, Transport } from '@modelcontextprotocol/client';
import { McpBuildError } from '../../errors/index.ts';
import { isObject, textOf } from '../rpc/message.ts';
import { encodedValue, type Mirrored, mirroredOf, mirroredValue } from '../rpc/mirrored.ts';
import type { Channel, OpenChannel } from './channel.ts';
import { type OAuthSettings, remoteAuth } from './oauth.ts';
import { type LoginStore, loginMemory } from './oauth-store.ts';
import { place } from './place.ts';

export interface RemoteChannel {
  readonly name: string;
  readonly url: string;
  /** Sent with every request: what this gateway's own clients sent is never among it. */
  readonly headers: Readonly<Record<string, string>>;
  /** The other one is tried where none is named and the first is refused. */
  readonly transport: 'sse' | 'streamable-http' | undefined;
  readonly oauth: OAuthSettings | undefined;
  /** Where what an operator's login gave is kept; only for this run without. */
  readonly logins?: LoginStore;
}

interface Sent {
  readonly id?: unknown;
  readonly method?: unknown;
  readonly params?: unknown;
}

/** Statuses of a server that doesn't speak Streamable HTTP, as the specification has it. */
const NOT_STREAMABLE: ReadonlySet<unknown> = new Set([400, 404, 405, 406, 415]);

/** A server elsewhere. @throws McpBuildError `remote-unavailable` */
export function remoteChannel(options: RemoteChannel): OpenChannel {
  const { name, url, headers, oauth } = options;
  const auth = remoteAuth({ name, url, oauth, store: options.logins ?? loginMemory() });
  const given = Object.keys(headers).some((header) => header.toLowerCase() === 'authorization');
  return async (receive) => {
    // Only gateways with such servers pay for loading it.
    const { SSEClientTransport, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
    // A token that stands in the configuration is the one to be used.
    const authorised = given && oauth === undefined ? {} : { authProvider: auth.provider, fetch: auth.fetch };
    const settings = { requestInit: { headers: { ...headers } }, ...authorised };
    let end: (why: string) => void = () => undefined;
    const ended = new Promise<string>((resolve) => {
      end = resolve;
    });
    let sse =
      options.transport === 'sse' || (options.transport === undefined && /\/sse\/?$/.test(new URL(url).pathname));
    let answered = false;
    const mirrored = new Map<string, readonly Mirrored[]>();
    let transport = await started();

    async function started(): Promise<Transport> {
      const made: Transport = sse
        ? new SSEClientTransport(new URL(url), settings)
        : new StreamableHTTPClientTransport(new URL(url), settings);
      made.onclose = () => {
        if (made === transport) end('the connection was closed');
      };
      made.onmessage = (message) => {
        answered = true;
        const { result } = message as { result?: unknown };
        // From its greeting on, every request names the revision that was agreed on.
        if (isObject(result) && typeof result.protocolVersion === 'string') {
          made.setProtocolVersion?.(result.protocolVersion);
        }
        if (isObject(result) && Array.isArray(result.tools)) learn(result.tools);
        receive(Buffer.from(JSON.stringify(message)));
      };
      made.onerror = () => undefined;
      try {
        await made.start();
      } catch (cause) {
        throw unavailable(url, auth.cleaned(reasonOf(cause)), cause);
      }
      return made;
    }

    function learn(tools: readonly unknown[]): void {
      for (const tool of tools) {
        if (!isObject(tool) || typeof tool.name !== 'string') continue;
        const found = mirroredOf(tool.inputSchema);
        if (found.length > 0) mirrored.set(tool.name, found);
        else mirrored.delete(tool.name);
      }
    }

    /** What a server of 2026 wants to find in headers, too. */
    function headersOf({ method, params }: Sent): Readonly<Record<string, string>> | undefined {
      if (method !== 'tools/call' || !isObject(params) || mirrored.size === 0) return undefined;
      const found = (mirrored.get(textOf(params.name)) ?? []).flatMap(({ header, path }) => {
        const value = mirroredValue(params.arguments, path);
        return value === undefined ? [] : [[header, encodedValue(value)] as const];
      });
      return Object.fromEntries(found);
    }

    async function send(message: Sent): Promise<void> {
      const more = headersOf(message);
      try {
        await transport.send(message as never, more ? { headers: more } : undefined);
      } catch (error) {
        const { status } = error as { status?: unknown };
        if (answered || sse || options.transport !== undefined || !NOT_STREAMABLE.has(status)) throw error;
        // A server of HTTP+SSE has nothing to say to a POST at this address.
        const before = transport;
        sse = true;
        transport = await started();
        await before.close().catch(() => undefined);
        await transport.send(message as never);
      }
    }

    /** A request that could not be sent is answered, here, by an error. */
    function failed(message: Sent, error: unknown): void {
      const reason = auth.cleaned(reasonOf(error));
      const { status } = error as { status?: unknown };
      if (message.method !== undefined && message.id !== undefined) {
        const answer = { jsonrpc: '2.0', id: message.id, error: { code: -32000, message: `${place(url)}: ${reason}` } };
        receive(Buffer.from(JSON.stringify(answer)));
      }
      // A session that it doesn't know any more: everything starts anew.
      if (status === 404 || /ECONNREFUSED|fetch failed/.test(reason)) end(`${place(url)} is gone: ${reason}`);
    }

    const channel: Channel = {
      send(text) {
        const message = JSON.parse(text) as Sent;
        send(message).catch((error: unknown) => failed(message, error));
        return true;
      },
      ended,
      async close() {
        if ('terminateSession' in transport) {
          const bye = (transport as StreamableHTTPClientTransport).terminateSession().catch(() => undefined);
          await Promise.race([bye, new Promise((resolve) => setTimeout(resolve, 2_000).unref())]);
        }
        await transport.close().catch(() => undefined);
        end('it was closed');
      },
    };
    return channel;
  };
}

function reasonOf(error: unknown): string {
  if (error instanceof McpBuildError) return `${error.message}. ${error.fix ?? ''}`;
  if (!(error instanceof Error)) return String(error);
  // Of a connection, Node's own fetch says why in its cause alone.
  const { code, message } = (error.cause ?? {}) as { code?: unknown; message?: unknown };
  const why = code ?? message;
  return typeof why === 'string' && !error.message.includes(why) ? `${error.message}: ${why}` : error.message;
}

function unavailable(url: string, reason: string, cause: unknown): McpBuildError {
  return new McpBuildError({
    code: 'remote-unavailable',
    message: `${place(url)} can't be reached: ${reason}`,
    input: place(url),
    fix: 'Check the address, and the headers it asks for.',
    exit: 5,
    cause,
  });
}
