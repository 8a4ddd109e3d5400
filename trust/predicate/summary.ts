import { type Digest, hexOf } from '../../digest/index.ts';
import type { Verdict } from '../verdict.ts';

export interface Verification {
  readonly verdict: Verdict;
  /** Name of the image, with its digest. */
  readonly resource: string;
  /** Digest of the policy file, and how it is called. */
  readonly policy: { readonly name: string; readonly digest: Digest };
  /** Referrers that were looked at. */
  readonly inputs: readonly Digest[];
  readonly verified: Date;
  /** Version of mcp-build. */
  readonly verifier: string;
}

/**
 * SLSA verification summary v1: https://slsa.dev/spec/v1.1/verification_summary . That someone verified an image, said so that others can
 * rely on it. It claims no build level: those are properties of a builder, which no check here measures.
 */
export function summaryPredicate(it: Verification): object {
  const passed = it.verdict.verdict === 'pass';
  return {
    verifier: { id: 'urn:mcp-build:verifier', version: { 'mcp-build': it.verifier } },
    timeVerified: it.verified.toISOString(),
    resourceUri: it.resource,
    policy: { uri: it.policy.name, digest: { sha256: hexOf(it.policy.digest) } },
    inputAttestations: it.inputs.map((digest) => ({ digest: { sha256: hexOf(digest) } })),
    verificationResult: passed ? 'PASSED' : 'FAILED',
    verifiedLevels: passed ? ['MCP_BUILD_POLICY'] : [],
    slsaVersion: '1.1',
  };
}
