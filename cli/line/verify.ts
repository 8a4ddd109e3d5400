import { McpBuildError } from '../../errors/index.ts';
import type { Descriptor, Store } from '../../registry/index.ts';
import { type Check, failures, gather, judge, keyPolicy, type Platform, type Verdict } from '../../trust/index.ts';
import type { TrustedKey } from './keys.ts';

export interface VerifyOptions {
  readonly keys: readonly TrustedKey[];
  readonly now: Date;
  /** Hash the layers, too. */
  readonly layers: boolean;
  /** Which images of an index count. */
  readonly platforms: 'all' | Platform;
}

/** The one verdict that every command goes by. */
export async function verifyImage(store: Store, image: Descriptor, options: VerifyOptions): Promise<Verdict> {
  const evidence = await gather(store, image, { layers: options.layers, platforms: options.platforms });
  return judge(keyPolicy(options.keys.map(({ key }) => key)), evidence, options.now);
}

/** @throws McpBuildError `refused` with every failed check, when the verdict isn't a pass */
export function requirePass(verdict: Verdict, name: string): void {
  if (verdict.verdict === 'pass') return;
  const failed = failures(verdict);
  throw new McpBuildError({
    code: failed.length === 1 ? failed[0]!.id : 'refused',
    message: `${name} does not verify: ${failed.map(({ id, detail }) => `${id}: ${detail}`).join('; ') || 'nothing was checked'}`,
    input: name,
    fix: remedy(failed),
    exit: 3,
  });
}

function remedy(failed: readonly Check[]): string {
  const ids = new Set(failed.map(({ id }) => id));
  if (ids.has('content-mismatch')) return 'Its bytes were changed: build or pull it again, and find out who did that.';
  if (ids.has('unsigned'))
    return 'If you built it yourself, sign it: mcp-build sign <name>. Otherwise ask whoever built it.';
  if (ids.has('untrusted-signer'))
    return 'If you trust its signer, name their public key with --key. Otherwise don’t run it.';
  return 'What is attached to it speaks of something else: ask whoever published it to sign this image.';
}
