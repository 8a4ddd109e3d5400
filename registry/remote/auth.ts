import { parseChallenges } from './challenge.ts';
import type { Credential } from './credentials.ts';
import { type Bearer, basic, requestToken, type Token } from './token.ts';
import type { Incoming, Outgoing } from './wire.ts';

/** How one registry wants to be asked, learned from its first refusal. */
export interface Auth {
  /** The Authorization header for requests that need `scopes`; undefined as long as the registry hasn't asked for any. */
  header(scopes: readonly string[]): Promise<string | undefined>;
  /**
   * Learns from a 401.
   * @param sent the header that was refused. @returns whether another attempt can end differently
   */
  refused(challenge: string | undefined, scopes: readonly string[], sent: string | undefined): Promise<boolean>;
  /** Whether credentials were found; for the wording of an error. */
  known(): boolean;
}

export function openAuth(
  registry: string,
  credential: () => Promise<Credential | undefined>,
  send: (outgoing: Outgoing) => Promise<Incoming>,
): Auth {
  let found: Promise<Credential | undefined> | undefined;
  let known = false;
  let mode: { readonly scheme: 'basic' } | Bearer | undefined;
  const tokens = new Set<{ readonly scopes: ReadonlySet<string>; readonly token: Promise<Token> }>();

  const lookUp = async () => {
    found ??= credential();
    const value = await found;
    known = value !== undefined;
    return value;
  };

  const tokenFor = async (challenge: Bearer, scopes: readonly string[]): Promise<Token> => {
    for (const one of [...tokens]) {
      if (!scopes.every((scope) => one.scopes.has(scope))) continue;
      const token = await one.token;
      if (token.expires > Date.now()) return token;
      tokens.delete(one);
    }
    // The registry's own spelling of the scope beside ours: some serve a repository under another name than they check.
    const asked = [...new Set([...scopes, ...challenge.scopes])].slice(0, 10);
    const token = lookUp().then((value) => requestToken(registry, challenge, asked, value, send));
    const entry = { scopes: new Set(asked), token };
    tokens.add(entry);
    token.catch(() => tokens.delete(entry));
    return token;
  };

  const header = async (scopes: readonly string[]): Promise<string | undefined> => {
    if (!mode) return undefined;
    const value = await lookUp();
    if (value?.kind === 'bearer') return `Bearer ${value.token}`;
    if (mode.scheme === 'bearer') return `Bearer ${(await tokenFor(mode, scopes)).value}`;
    return value?.kind === 'basic' ? basic(value) : undefined;
  };

  return {
    header,
    known: () => known,
    refused: async (challenge, scopes, sent) => {
      const challenges = parseChallenges(challenge);
      const chosen = challenges[0];
      if (!chosen) return false;
      // Whoever was refused with an older header than the one in use now may just try that.
      if (mode && sent !== (await header(scopes))) return true;
      mode = chosen;
      if (chosen.scheme === 'basic') {
        const value = await lookUp();
        return value?.kind === 'basic' && sent === undefined;
      }
      for (const one of [...tokens]) {
        const token = await one.token.catch(() => undefined);
        if (`Bearer ${token?.value}` === sent) tokens.delete(one);
      }
      return true;
    },
  };
}
