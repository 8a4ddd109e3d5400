import { createRequire } from 'node:module';
import { McpBuildError } from '../errors/index.ts';
import { parseTrustedRoot, type TrustedRoot } from './sigstore.ts';

const require = createRequire(import.meta.url);
let root: TrustedRoot | undefined;

/**
 * The trusted root of the public Sigstore instance, pinned: it comes with the `@sigstore/tuf` package and changes with its version, so that
 * no network decides whom to trust. It must be asked for by name; nothing trusts it by default.
 * @throws McpBuildError `root-invalid`
 */
export function publicGoodRoot(): TrustedRoot {
  if (root) return root;
  const seeds = require('@sigstore/tuf/seeds.json') as Readonly<
    Record<string, { readonly targets: Readonly<Record<string, string>> }>
  >;
  const encoded = Object.values(seeds)[0]?.targets['trusted_root.json'];
  if (!encoded) {
    throw new McpBuildError({
      code: 'root-invalid',
      message: 'This installation lacks the trusted root of the public Sigstore instance',
      input: 'public-good',
      fix: 'Install mcp-build again, or name a trusted_root.json in the policy.',
    });
  }
  root = parseTrustedRoot(Buffer.from(encoded, 'base64').toString('utf8'), 'public-good');
  return root;
}
