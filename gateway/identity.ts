/** Who asks: what a token stands for, or anybody where no token is asked for. */
export interface Identity {
  /** Of the token, never the token itself. */
  readonly id: string;
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly expires: number | undefined;
  /** Names of servers; undefined for all. */
  readonly servers: ReadonlySet<string> | undefined;
  /** `server/tool` and `server/*`; undefined for all. */
  readonly tools: ReadonlySet<string> | undefined;
}

export const ANYBODY: Identity = {
  id: 'anybody',
  name: 'anybody',
  expires: undefined,
  servers: undefined,
  tools: undefined,
};

export function mayUse(identity: Identity, server: string): boolean {
  return identity.servers === undefined || identity.servers.has(server);
}

export function mayCall(identity: Identity, server: string, tool: string): boolean {
  const { tools } = identity;
  return tools === undefined || tools.has(`${server}/${tool}`) || tools.has(`${server}/*`);
}
