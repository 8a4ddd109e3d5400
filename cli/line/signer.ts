import { readFile } from 'node:fs/promises';
import { Option } from 'commander';
import { McpBuildError } from '../../errors/index.ts';
import {
  ambientIdentity,
  execSigner,
  keylessSigner,
  keySigner,
  parseSigningConfig,
  publicGoodServices,
  type Signer,
  tokenIdentity,
} from '../../trust/index.ts';
import type { Environment, Home } from './home.ts';
import { signingKey } from './keys.ts';
import type { ManifestSigner } from './manifest/index.ts';

export interface SignerFlags {
  readonly key?: string;
  readonly keyless?: boolean;
  readonly signingConfig?: string;
  readonly identityToken?: string;
  readonly exec?: string;
}

/** The flags by which every command that signs is told with what. */
export function signerOptions(): Option[] {
  return [
    new Option('--key <file>', 'private key (PKCS#8 or cosign’s); the one that `init` made by default'),
    new Option('--keyless', 'sign as the identity of this CI job, with a certificate from Fulcio').conflicts('key'),
    new Option(
      '--signing-config <file>',
      'services to sign with, as cosign’s signing-config; the public ones by default',
    ).implies({ keyless: true }),
    new Option('--identity-token <file>', 'an OpenID token to sign as, instead of the CI’s').implies({ keyless: true }),
    new Option('--exec <command>', 'a program that signs, for a key in a KMS or HSM (see docs/trust.md)').conflicts([
      'key',
      'keyless',
    ]),
  ];
}

/** What the flags say, else what the manifest says. */
export function manifestSigner(flags: SignerFlags, manifest: ManifestSigner | undefined): SignerFlags {
  const { key, keyless, signingConfig, identityToken, exec } = flags;
  if (key !== undefined || keyless || exec !== undefined || manifest === undefined) {
    return {
      ...(key === undefined ? {} : { key }),
      ...(keyless ? { keyless } : {}),
      ...(signingConfig === undefined ? {} : { signingConfig }),
      ...(identityToken === undefined ? {} : { identityToken }),
      ...(exec === undefined ? {} : { exec }),
    };
  }
  switch (manifest.kind) {
    case 'key':
      return { key: manifest.file };
    case 'exec':
      return { exec: manifest.command };
    case 'keyless': {
      const { kind: _kind, ...services } = manifest;
      return { keyless: true, ...services };
    }
  }
}

/** @throws McpBuildError `key-missing`, `identity-missing`, `signing-config-invalid`, `signer-failed` */
export async function signerOf(flags: SignerFlags, home: Home, environment: Environment): Promise<Signer> {
  if (flags.exec !== undefined) return execSigner(flags.exec.split(' ').filter(Boolean), { environment });
  if (!flags.keyless) return keySigner(await signingKey(flags.key, home, environment));
  const services = flags.signingConfig
    ? parseSigningConfig(await text(flags.signingConfig), flags.signingConfig, new Date())
    : await publicGoodServices();
  const identity = flags.identityToken ? tokenIdentity(await text(flags.identityToken)) : ambientIdentity;
  return keylessSigner(services, identity);
}

async function text(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new McpBuildError({
      code: 'file-unreadable',
      message: `${path} can't be read: ${cause.code}`,
      input: path,
      fix: 'Check the path.',
      exit: 2,
    });
  });
}
