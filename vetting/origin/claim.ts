import type { Known } from '../audit.ts';
import { type Finding, finding, printed } from '../finding.ts';
import { fileKey } from '../tree.ts';
import { plainRepository } from './provenance.ts';

/**
 * A name in the MCP Registry, both ways: the `server.json` that a lock was made by names the package, and the package must name it back
 * (`mcpName` in package.json, `mcp-name:` in the README), for anybody can write a server.json about anybody's package. A name below
 * `io.github.<owner>/` must be of the owner from whose repository the package verifiably was built.
 */
export function checkClaim({ lock, packages, contents, provenance }: Known): readonly Finding[] {
  const server = packages.filter((one) => one.server);
  const read = server.flatMap(({ files }) => files.flatMap((file) => contents.get(fileKey(file)) ?? []));
  const claims = new Set(read.map(({ serverName }) => serverName ?? '').filter((name) => name !== ''));
  if (lock.serverName !== undefined) claims.add(lock.serverName);
  const document = lock.launch?.document.name;
  const found: Finding[] = [];
  for (const { ref } of server) {
    if (document !== undefined && claims.size === 0 && read.length > 0) {
      found.push(
        finding(
          'name-claim',
          ref,
          `A server.json says that it is ${printed(document)}; it says nothing of that itself`,
        ),
      );
    }
    for (const claim of claims) {
      if (document !== undefined && claim !== document) {
        found.push(
          finding('name-claim', ref, `Says that it is ${printed(claim)}; its server.json says ${printed(document)}`, {
            severity: 'high',
          }),
        );
      } else if (document === undefined) {
        found.push(
          finding('name-claim', ref, `Says that it is ${printed(claim)}; no server.json was held against that`, {
            severity: 'none',
          }),
        );
      }
    }
    const attestation = provenance?.get(ref)?.attestation;
    if (attestation?.state !== 'attested') continue;
    for (const name of new Set([...claims, ...(document === undefined ? [] : [document])])) {
      const owner = /^io\.github\.([A-Za-z0-9-]{1,100})\//.exec(name)?.[1]?.toLowerCase();
      const from = /^https:\/\/github\.com\/([^/]+)\//.exec(plainRepository(attestation.origin.repository))?.[1];
      if (owner === undefined || from === undefined || owner === from) continue;
      found.push(
        finding(
          'name-claim',
          ref,
          `Says that it is ${printed(name)}, and was built in a repository of ${printed(from)}`,
          {
            evidence: [attestation.origin.repository],
          },
        ),
      );
    }
  }
  return found;
}
