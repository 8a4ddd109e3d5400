import { createRequire } from 'node:module';
import { McpBuildError } from '../errors/index.ts';
import { parseTrustedRoot, type TrustedRoot } from './sigstore.ts';

const require = createRequire(import.meta.url);
let root: TrustedRoot | undefined;

/** The name by which the public Sigstore instance's root is asked for. */
export const PUBLIC_GOOD = 'public-good';

/**
 * The trusted root of the public Sigstore instance, pinned: it comes with the `@sigstore/tuf` package and changes with its version, so that
 * no network decides whom to trust. It must be asked for by name; nothing trusts it by default.
 * @throws McpBuildError `root-invalid`
 */
export function publicGoodRoot(): TrustedRoot {
  root ??= parseTrustedRoot(decoded(seed()[1].targets['trusted_root.json']), PUBLIC_GOOD);
  return root;
}

/**
 * Where the public instance's TUF repository is, and the metadata, pinned in the same way, from which it can be followed.
 * @throws McpBuildError `root-invalid`
 */
export function publicGoodRepository(): { readonly mirror: URL; readonly root: string } {
  const [mirror, { 'root.json': encoded }] = seed();
  return { mirror: new URL(mirror), root: decoded(encoded) };
}

interface Seed {
  readonly 'root.json'?: string;
  readonly targets: Readonly<Record<string, string>>;
}

function seed(): readonly [string, Seed] {
  const seeds = require('@sigstore/tuf/seeds.json') as Readonly<Record<string, Seed>>;
  const [first] = Object.entries(seeds);
  if (first) return first;
  throw incomplete();
}

function decoded(encoded: string | undefined): string {
  if (!encoded) throw incomplete();
  return Buffer.from(encoded, 'base64').toString('utf8');
}

function incomplete(): McpBuildError {
  return new McpBuildError({
    code: 'root-invalid',
    message: 'This installation lacks the trusted root of the public Sigstore instance',
    input: PUBLIC_GOOD,
    fix: 'Install mcp-build again, or name a trusted_root.json in the policy.',
  });
}
