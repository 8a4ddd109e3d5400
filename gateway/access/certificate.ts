import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { type PeerCertificate, TLSSocket } from 'node:tls';

/** A client's certificate that the client authority signed. */
export interface ClientCertificate {
  /** Of the subject: `CN`, `O`, `OU`, each as often as it stands there. */
  readonly subject: Readonly<Record<string, readonly string[]>>;
  /** Alternative names, without their kind: `alice@example.test`, `spiffe://example.test/alice`. */
  readonly names: readonly string[];
  readonly text: string;
  readonly issuer: string;
  readonly common: string;
  /** Milliseconds since 1970. */
  readonly expires: number;
  /** SHA-256 of the certificate, in base64url: what RFC 8705 binds tokens to. */
  readonly thumbprint: string;
}

const seen = new WeakMap<Socket, ClientCertificate>();

/** Who is at the other end of a connection, by a certificate that was checked while it was opened. */
export function certificateOf(socket: Socket): ClientCertificate | undefined {
  const known = seen.get(socket);
  if (known) return known.expires > Date.now() ? known : undefined;
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const given = socket.getPeerCertificate();
  if (!given?.raw) return undefined;
  const read = readCertificate(given);
  seen.set(socket, read);
  return read.expires > Date.now() ? read : undefined;
}

function readCertificate(given: PeerCertificate): ClientCertificate {
  const subject = Object.fromEntries(
    Object.entries(given.subject ?? {}).map(([name, value]) => [name, ([value] as (string | string[])[]).flat()]),
  );
  const names = alternatives(given.subjectaltname ?? '');
  return {
    subject,
    names,
    text: JSON.stringify([given.subject, names]),
    issuer: JSON.stringify(given.issuer),
    common: subject.CN?.[0] ?? names[0] ?? 'a certificate',
    expires: Date.parse(given.valid_to),
    thumbprint: createHash('sha256').update(given.raw).digest('base64url'),
  };
}

/** Node writes names that hold a comma or a quote as JSON, so that nobody can make two out of one. */
function alternatives(text: string): readonly string[] {
  const names: string[] = [];
  const one = /([^:",]+):(?:([^",]*)|("(?:[^"\\]|\\.)*"))(?:, |$)/y;
  for (let match = one.exec(text); match; match = one.exec(text)) {
    const [, kind = '', plain, quoted] = match;
    if (KINDS.has(kind)) names.push(quoted === undefined ? (plain ?? '') : (JSON.parse(quoted) as string));
    if (one.lastIndex === text.length) break;
  }
  return names;
}

const KINDS: ReadonlySet<string> = new Set(['DNS', 'URI', 'email', 'IP Address']);
