import { configInvalid } from './faults.ts';

export type Address =
  | {
      readonly kind: 'tcp' /** Empty for every interface, as in `:9090`. */;
      readonly host: string;
      readonly port: number;
    }
  | { readonly kind: 'unix'; readonly path: string };

/** Reads `:9090`, `127.0.0.1:9090`, `[::1]:9090`, `unix:/run/gateway.sock`. @throws McpBuildError `config-invalid` */
export function parseAddress(text: string, file: string): Address {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length).replace(/^\/\/(?=\/)/, '');
    if (path.startsWith('/')) return { kind: 'unix', path };
  }
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([\w.-]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match && port <= 65535) return { kind: 'tcp', host: match[1] ?? match[2] ?? '', port };
  throw configInvalid(
    file,
    'mcpProxy.addr',
    `is no address: ${text}`,
    'Write :9090, 127.0.0.1:9090 or unix:/path/to/socket.',
  );
}

/** Whether only this machine's own programs reach it. */
export function isLocal(address: Address): boolean {
  if (address.kind === 'unix') return true;
  return /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/.test(address.host);
}
