import { configInvalid } from './faults.ts';
import type { Current } from './schema.ts';

export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
  /** Of the authority that signs clients' certificates. */
  readonly clientCA: string | undefined;
  /** Whether who has no certificate may show a token instead. */
  readonly clientCertificates: 'required' | 'optional';
}

export interface ResourceServer {
  readonly issuer: string;
  readonly jwksURI: string | undefined;
  /** Besides the addresses of the gateway itself. */
  readonly audiences: readonly string[];
  readonly algorithms: readonly string[];
  /** In seconds. */
  readonly clockSkew: number;
  readonly requiredScopes: readonly string[];
  readonly nameClaim: string;
}

const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'] as const;
/** Clocks that differ by more are to be set, not put up with; in milliseconds. */
const MOST_SKEW = 5 * 60_000;
const SKEW = 60_000;

type Proxy = Current['mcpProxy'];

/** @throws McpBuildError `config-invalid` */
export function tlsFiles(tls: NonNullable<Proxy['tls']>, file: string): TlsFiles {
  const { cert, key, clientCA, clientCertificates } = tls;
  if (clientCA === undefined && clientCertificates !== undefined) {
    throw configInvalid(
      file,
      'mcpProxy.tls.clientCertificates',
      'needs "clientCA": nobody else says whose certificates count',
    );
  }
  return { cert, key, clientCA, clientCertificates: clientCertificates ?? 'required' };
}

/** @throws McpBuildError `config-invalid` */
export function resourceServer(given: NonNullable<Proxy['oauth']>, file: string): ResourceServer {
  for (const [field, address] of Object.entries({ issuer: given.issuer, jwksURI: given.jwksURI })) {
    // Whoever answers in the provider's place says who anybody is.
    if (address !== undefined && !isSafe(address)) {
      throw configInvalid(file, `mcpProxy.oauth.${field}`, 'must be https, since keys come from there');
    }
  }
  const skew = given.clockSkew ?? SKEW;
  if (skew > MOST_SKEW) throw configInvalid(file, 'mcpProxy.oauth.clockSkew', 'is more than five minutes');
  const { audience = [] } = given;
  return {
    issuer: given.issuer,
    jwksURI: given.jwksURI,
    audiences: typeof audience === 'string' ? [audience] : audience,
    algorithms: given.algorithms ?? ALGORITHMS,
    clockSkew: skew / 1000,
    requiredScopes: given.requiredScopes ?? [],
    nameClaim: given.nameClaim ?? 'sub',
  };
}

/** Nobody stands between this machine and itself. */
export function isSafe(address: string): boolean {
  const { protocol, hostname } = new URL(address);
  return protocol === 'https:' || /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(hostname);
}
