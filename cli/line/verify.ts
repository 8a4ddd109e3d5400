import { McpBuildError } from '../../errors/index.ts';
import type { Descriptor, Store } from '../../registry/index.ts';
import {
  type Accepted,
  type Asked,
  type Assessment,
  assess,
  type Check,
  type Evidence,
  failures,
  gather,
  type Platform,
  type Policy,
  type ReadLayers,
  type Verdict,
} from '../../trust/index.ts';

export interface VerifyOptions {
  readonly policy: Policy;
  readonly now: Date;
  /** Hash the layers, too. */
  readonly layers: boolean;
  /** Which images of an index count. */
  readonly platforms: 'all' | Platform;
  /** Layers that need not be read again. */
  readonly once?: ReadLayers | undefined;
  readonly asked?: Asked;
  readonly accepted?: Accepted | undefined;
}

/** All that is said about an image, with what was asked for. */
export async function evidenceOf(
  store: Store,
  image: Descriptor,
  options: Omit<VerifyOptions, 'policy' | 'now'>,
): Promise<Evidence> {
  const { layers, platforms, once } = options;
  const evidence = await gather(store, image, { layers, platforms, once });
  return {
    ...evidence,
    ...(options.asked ? { asked: options.asked } : {}),
    ...(options.accepted ? { accepted: options.accepted } : {}),
  };
}

/** The one verdict that every command goes by. */
export async function verifyImage(store: Store, image: Descriptor, options: VerifyOptions): Promise<Assessment> {
  return assess(options.policy, await evidenceOf(store, image, options), options.now);
}

/** @throws McpBuildError with the failed check's code, or `refused` with every failed check, when the verdict isn't a pass */
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
    return 'If you trust its signer, name their public key with --key or in your policy. Otherwise don’t run it.';
  if (ids.has('attestation-missing'))
    return 'Your policy asks for more than a signature: whoever publishes it must run `mcp-build attest`.';
  if (ids.has('rollback'))
    return 'It is older than what this machine has run before. If that is meant, add an exception to your policy.';
  if (ids.has('no-rule')) return 'No rule of your policy is for this image. Add one if it should run.';
  return 'Look at what is said about it with `mcp-build show`, and at your policy with `mcp-build policy explain`.';
}
