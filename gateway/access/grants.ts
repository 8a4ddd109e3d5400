import { createHash } from 'node:crypto';
import type { Grant } from '../config/schema.ts';
import { type Identity, type Power, powersOf, ROLES, serverOf } from '../identity.ts';
import type { Claims } from './bearer.ts';
import type { ClientCertificate } from './certificate.ts';

/** What somebody else vouches for: an access token's claims, or a certificate. */
export type Vouched =
  | { readonly kind: 'claims'; readonly claims: Claims; readonly scopes: ReadonlySet<string>; readonly name: string }
  | { readonly kind: 'certificate'; readonly certificate: ClientCertificate };

/** Without grants, whoever is vouched for may call everything, and see and control nothing. */
const EVERYTHING: readonly Grant[] = [{ roles: ['caller'] }];

/**
 * What the grants that fit give together. Each counts within its own servers and tools: one that lets somebody look at every server doesn't widen
 * another that lets them call one tool.
 * @returns undefined where none fits
 */
export function granted(vouched: Vouched, grants: readonly Grant[] = EVERYTHING): Identity | undefined {
  const fitting = grants.filter((grant) => fits(grant, vouched));
  if (fitting.length === 0) return undefined;
  const powers = new Map<Power, ReadonlySet<string> | undefined>();
  for (const { roles, servers, tools } of fitting) {
    for (const [power, over] of powersOf(roles, servers, tools)) {
      const before = powers.get(power);
      const all = over === undefined || (powers.has(power) && before === undefined);
      powers.set(power, all ? undefined : new Set([...(before ?? []), ...(over ?? [])]));
    }
  }
  const calls = fitting.filter(({ roles }) => roles.some((role) => (ROLES[role] as readonly Power[]).includes('call')));
  return { ...whoIs(vouched), ...limitsOf(calls), powers };
}

function limitsOf(grants: readonly Grant[]): Pick<Identity, 'servers' | 'tools'> {
  if (grants.some(({ servers, tools }) => servers === undefined && tools === undefined)) {
    return { servers: undefined, tools: undefined };
  }
  const servers = new Set(grants.flatMap((grant) => grant.servers ?? (grant.tools ?? []).map(serverOf)));
  if (grants.every(({ tools }) => tools === undefined)) return { servers, tools: undefined };
  const tools = grants.flatMap(({ servers: over, tools: named }) => {
    if (named === undefined) return (over ?? []).map((server) => `${server}/*`);
    return over === undefined ? named : named.filter((tool) => over.includes(serverOf(tool)));
  });
  return { servers, tools: new Set(tools) };
}

function fits({ scope, claim, certificate }: Grant, vouched: Vouched): boolean {
  if (vouched.kind === 'certificate') {
    if (scope !== undefined || claim !== undefined) return false;
    const { subject, names } = vouched.certificate;
    const held = (field: string) => (field === 'SAN' ? names : (subject[field] ?? []));
    return Object.entries(certificate ?? {}).every(
      ([field, value]) => value === undefined || held(field).includes(value),
    );
  }
  if (certificate !== undefined) return false;
  if (scope !== undefined && !vouched.scopes.has(scope)) return false;
  if (claim === undefined) return true;
  const found = claimOf(vouched.claims, claim.name);
  return Array.isArray(found) ? found.includes(claim.value) : found === claim.value;
}

/** By its name, or by a path of names with dots between: Keycloak has `realm_access.roles`. */
export function claimOf(claims: Readonly<Record<string, unknown>>, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  let value: unknown = claims;
  for (const part of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string, unknown>)[part];
  }
  return value;
}

/** RFC 8693's `scope`, and `scp`, which Entra and Okta write. */
export function scopesOf({ scope, scp }: Readonly<Record<string, unknown>>): ReadonlySet<string> {
  const words = [scope, scp].flatMap((value) =>
    typeof value === 'string'
      ? value.split(' ')
      : Array.isArray(value)
        ? value.filter((each) => typeof each === 'string')
        : [],
  );
  return new Set(words.filter((word) => word !== ''));
}

/** The same person with the same program is the same through every token and certificate they get. */
function whoIs(vouched: Vouched): Pick<Identity, 'id' | 'name' | 'expires'> {
  if (vouched.kind === 'certificate') {
    const { text, issuer, common, expires } = vouched.certificate;
    return { id: `cert-${short(issuer, text)}`, name: printed(common), expires };
  }
  const { claims, name } = vouched;
  const client = claims.client_id ?? claims.azp;
  const id = `oauth-${short(String(claims.iss), claims.sub, typeof client === 'string' ? client : '')}`;
  return { id, name: printed(name), expires: claims.exp * 1000 };
}

function short(...parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
}

/** For logs and pages. */
function printed(name: string): string {
  return name.replace(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, '\ufffd').slice(0, 100);
}
