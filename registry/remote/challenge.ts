export type Challenge =
  | { readonly scheme: 'basic' }
  | {
      readonly scheme: 'bearer';
      readonly realm: string;
      readonly service?: string;
      readonly scopes: readonly string[];
    };

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const PARAMETER = new RegExp(`\\s*(${TOKEN})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${TOKEN}))\\s*(?:,|$)`, 'y');
const SCHEME = new RegExp(`[\\s,]*(${TOKEN})(?:\\s+|$|(?=,))`, 'y');

/** In characters; Node's own limit on all headers is 16 KiB. */
const LIMIT = 8192;

/** The challenges of a WWW-Authenticate header that a registry client can answer (RFC 9110, 11.6.1); Bearer before Basic. */
export function parseChallenges(header: string | undefined): readonly Challenge[] {
  if (header === undefined || header.length > LIMIT) return [];
  const found: Challenge[] = [];
  let at = 0;
  while (at < header.length) {
    SCHEME.lastIndex = at;
    const scheme = SCHEME.exec(header);
    if (!scheme) break;
    at = SCHEME.lastIndex;
    const parameters: Record<string, string> = Object.create(null);
    for (;;) {
      PARAMETER.lastIndex = at;
      const parameter = PARAMETER.exec(header);
      if (!parameter) break;
      parameters[parameter[1]!.toLowerCase()] = parameter[2]?.replace(/\\(.)/g, '$1') ?? parameter[3] ?? '';
      at = PARAMETER.lastIndex;
    }
    const name = scheme[1]!.toLowerCase();
    if (name === 'basic') found.push({ scheme: 'basic' });
    if (name === 'bearer' && parameters.realm) {
      found.push({
        scheme: 'bearer',
        realm: parameters.realm,
        ...(parameters.service ? { service: parameters.service } : {}),
        scopes: (parameters.scope ?? '').split(' ').filter((scope) => scope !== ''),
      });
    }
  }
  return found.sort((a, b) => (a.scheme === b.scheme ? 0 : a.scheme === 'bearer' ? -1 : 1));
}
