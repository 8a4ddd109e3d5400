import { X509Certificate } from 'node:crypto';
import { isFault, McpBuildError } from '../../errors/index.ts';
import type { Signature, Signer } from '../signer.ts';
import type { SigningServices } from './config.ts';
import { failed } from './post.ts';
import { witnessesOf } from './witnesses.ts';

/**
 * The public Sigstore instance: whatever is signed there is in a public log for ever, with the identity that signed it. Its log is of the
 * first version, which promises a time by itself.
 */
export async function publicGoodServices(): Promise<SigningServices> {
  const { DEFAULT_FULCIO_URL, DEFAULT_REKOR_URL } = await import('@sigstore/sign');
  return {
    certificateAuthority: DEFAULT_FULCIO_URL,
    logs: [{ url: DEFAULT_REKOR_URL, version: 1 }],
    timestampAuthorities: [],
  };
}

/** Where an OpenID token comes from. It is asked for anew for each signature, for they are short-lived. */
export type Identity = () => Promise<string>;

/**
 * The identity that a CI gives its jobs: GitHub Actions, Buildkite, and GitLab or any other in `SIGSTORE_ID_TOKEN`.
 * @throws McpBuildError `identity-missing`
 */
export const ambientIdentity: Identity = async () => {
  const { CIContextProvider } = await import('@sigstore/sign');
  return new CIContextProvider('sigstore').getToken().catch(() => {
    throw new McpBuildError({
      code: 'identity-missing',
      message: 'There is no OpenID identity here to sign with',
      fix: 'Run it in a CI job that may ask for one (GitHub: permissions: id-token: write; GitLab: id_tokens: SIGSTORE_ID_TOKEN), or sign with a key.',
      exit: 2,
    });
  });
};

/** A token that is at hand, as from a file; white space around it, as editors leave it, is not of it. */
export function tokenIdentity(token: string): Identity {
  return async () => token.trim();
}

/**
 * Signs with a key that lives for one signature, which a certificate authority binds to an identity, and has logs and timestamp authorities
 * testify to it. Its errors never hold the token: `identity-missing`, `identity-refused`, `signing-service`.
 */
export function keylessSigner(services: SigningServices, identity: Identity): Signer {
  return {
    name: `an identity that ${services.certificateAuthority} vouches for`,
    sign: async (bytes): Promise<Signature> => {
      const { FulcioSigner } = await import('@sigstore/sign');
      const fulcio = new FulcioSigner({
        fulcioBaseURL: services.certificateAuthority,
        identityProvider: { getToken: identity },
        timeout: 30_000,
        retry: { retries: 2 },
      });
      const { signature, key } = await fulcio.sign(Buffer.from(bytes)).catch((error: unknown) => {
        throw faultOf(error, services.certificateAuthority);
      });
      if (key.$case !== 'x509Certificate') throw failed(services.certificateAuthority, 'issued no certificate');
      return { signature, material: { kind: 'certificate', der: new X509Certificate(key.certificate).raw } };
    },
    witnesses: witnessesOf(services),
  };
}

/** The library's own messages and causes can hold the token, so none of them is passed on. */
function faultOf(error: unknown, authority: string): McpBuildError {
  const { code, cause } = error as { code?: unknown; cause?: unknown };
  if (isFault(cause)) return cause;
  if (code === 'IDENTITY_TOKEN_READ_ERROR' || code === 'IDENTITY_TOKEN_PARSE_ERROR') {
    return identityRefused(authority, 'The OpenID token is not one');
  }
  const status = (cause as { statusCode?: unknown } | undefined)?.statusCode;
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return identityRefused(authority, `${authority} does not take the OpenID token (${status})`);
  }
  return failed(
    authority,
    typeof status === 'number' ? `answered ${status}` : "can't be reached, or issued no certificate",
  );
}

function identityRefused(input: string, message: string): McpBuildError {
  return new McpBuildError({
    code: 'identity-refused',
    message,
    input,
    fix: 'Take a fresh token with the audience "sigstore" from an issuer that the certificate authority knows.',
    exit: 2,
  });
}
