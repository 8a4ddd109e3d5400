/** What somebody may do: have servers do things, see what they do, or stop and start them. */
export type Power = 'call' | 'watch' | 'control';

export const ROLES = {
  caller: ['call'],
  viewer: ['watch'],
  operator: ['watch', 'control'],
  admin: ['call', 'watch', 'control'],
} as const satisfies Readonly<Record<string, readonly Power[]>>;

export type Role = keyof typeof ROLES;

export const ROLE_NAMES = Object.keys(ROLES) as [Role, ...Role[]];

/** Who asks: what a token or certificate stands for, or anybody where none is asked for. */
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
  /** For which servers each power holds, undefined for all. Without the member: calls, and everything for who has no limits. */
  readonly powers?: ReadonlyMap<Power, ReadonlySet<string> | undefined>;
}

export const ANYBODY: Identity = {
  id: 'anybody',
  name: 'anybody',
  expires: undefined,
  servers: undefined,
  tools: undefined,
  powers: new Map([['call', undefined]]),
};

/** Whether somebody has a power at all, over one server or over more. */
export function has(identity: Identity, power: Power): boolean {
  if (identity.powers) return identity.powers.has(power);
  return power === 'call' || (identity.servers === undefined && identity.tools === undefined);
}

/** Whether a power reaches a server. */
export function reaches(identity: Identity, power: Power, server: string): boolean {
  return has(identity, power) && (identity.powers?.get(power)?.has(server) ?? true);
}

export function mayUse(identity: Identity, server: string): boolean {
  return has(identity, 'call') && (identity.servers === undefined || identity.servers.has(server));
}

export function mayCall(identity: Identity, server: string, tool: string): boolean {
  const { tools } = identity;
  return tools === undefined || tools.has(`${server}/${tool}`) || tools.has(`${server}/*`);
}

/** The powers of roles over some servers; where only tools are named, over theirs. */
export function powersOf(
  roles: readonly Role[],
  named: readonly string[] | undefined,
  tools: readonly string[] | undefined,
): ReadonlyMap<Power, ReadonlySet<string> | undefined> {
  const over = named ?? tools?.map(serverOf);
  const servers = over && new Set(over);
  return new Map(roles.flatMap((role) => ROLES[role]).map((power) => [power, servers] as const));
}

/** Of `server/tool`. */
export function serverOf(tool: string): string {
  return tool.slice(0, tool.indexOf('/'));
}
