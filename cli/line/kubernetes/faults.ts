import { McpBuildError } from '../../../errors/index.ts';

export function claimMissing(server: string, path: string): McpBuildError {
  return new McpBuildError({
    code: 'claim-missing',
    message: `${server} uses the folder ${path} of its user's machine, and a cluster has no such folder`,
    input: path,
    fix: `Name a claim that is mounted there: --claim ${server}:${path}=CLAIM.`,
    exit: 2,
  });
}

export function egressInexpressible(server: string, network: readonly string[]): McpBuildError {
  return new McpBuildError({
    code: 'egress-inexpressible',
    message: `${server} may reach ${network.join(', ')}, and a NetworkPolicy can't name hosts`,
    input: server,
    fix: 'Name a proxy that allows these hosts and no others: --egress-proxy http://ADDRESS:PORT --egress-proxy-pods NAMESPACE/LABEL=VALUE.',
    exit: 2,
  });
}

export function nameUnfit(name: string, why: string): McpBuildError {
  return new McpBuildError({
    code: 'name-unfit',
    message: `"${name}" can't be the name of a Service: ${why}`,
    input: name,
    fix: 'Give --prefix, as in --prefix mcp-, or another name in the manifest.',
    exit: 2,
  });
}

export function notHttp(server: string): McpBuildError {
  return new McpBuildError({
    code: 'transport-not-http',
    message: `${server} speaks over stdio, and a pod is reached by HTTP`,
    input: server,
    fix: 'Write transport: http in the manifest, then lock and publish it.',
    exit: 2,
  });
}

export function notPublished(server: string, image: string): McpBuildError {
  return new McpBuildError({
    code: 'not-published',
    message: `${image} does not hold what the lock of ${server} gives`,
    input: server,
    fix: `Publish it first: mcp-build publish ${server}.`,
    exit: 2,
  });
}

export function unsaid(server: string, policy: string): McpBuildError {
  return new McpBuildError({
    code: 'attestation-missing',
    message: `${policy} does not ask for the statement that says what ${server} may do`,
    input: server,
    fix: 'Require it: {predicate: server} among the rule’s require.',
    exit: 3,
  });
}

export function flagInvalid(flag: string, text: string, fix: string): McpBuildError {
  return new McpBuildError({
    code: 'flag-invalid',
    message: `--${flag} "${text}" can't be read`,
    input: text,
    fix,
    exit: 2,
  });
}
