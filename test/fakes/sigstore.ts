import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { openSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { commandPath } from '../e2e/harness/needs.ts';
import { startCtLog } from './sigstore-ct.ts';
import { type Issuer, startIssuer } from './sigstore-oidc.ts';

/** The commands it takes. `posix` is what Rekor v2's server is called where it keeps its log in a folder. */
export const SIGSTORE_NEEDS = ['fulcio', 'timestamp-server', 'posix', 'cosign', 'openssl'] as const;

/** A whole keyless Sigstore on loopback: real Fulcio, Rekor v2 and timestamp authority; an issuer and a CT log of our own. */
export interface Sigstore {
  readonly issuer: Issuer;
  /** Files that cosign reads, too. */
  readonly trustedRoot: string;
  readonly signingConfig: string;
  stop(): Promise<void>;
}

/** @param folder everything is kept below it. One at a time a machine: the timestamp authority's metrics have a fixed port. */
export async function startSigstore(folder: string): Promise<Sigstore> {
  await mkdir(folder, { recursive: true });
  const at = (name: string) => join(folder, name);
  const [oidc, ct, fulcio, fulcioGrpc, fulcioMetrics, tsa, rekor, rekorGrpc, rekorMetrics] = await freePorts(9);
  const issuer = await startIssuer(oidc!);
  const ctLog = await startCtLog(ct!);
  const children: ChildProcess[] = [];
  const stop = async () => {
    await Promise.all(children.map(ended));
    await Promise.all([issuer.stop(), ctLog.stop()]);
  };
  const start = (command: string, args: readonly string[]) => {
    const log = openSync(at(`${command}.log`), 'w');
    children.push(spawn(commandPath(command)!, args, { stdio: ['ignore', log, log], cwd: folder, env: environment() }));
  };
  try {
    await certificateAuthority(folder);
    await writeFile(at('ct.pub'), ctLog.publicKey);
    await writeFile(at('fulcio.yaml'), fulcioConfig(issuer));
    const log = generateKeyPairSync('ed25519');
    await writeFile(at('rekor.key'), log.privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    await writeFile(at('rekor.pub'), createPublicKey(log.privateKey).export({ type: 'spki', format: 'pem' }));
    start('fulcio', [
      ...['serve', '--ca', 'fileca', '--fileca-cert', at('ca.pem'), '--fileca-key', at('ca.key')],
      ...['--fileca-key-passwd', 'x', '--fileca-watch=false', `--ct-log-url=${ctLog.url}`],
      ...['--ct-log-public-key-path', at('ct.pub'), '--config-path', at('fulcio.yaml')],
      ...['--host', '127.0.0.1', '--port', `${fulcio}`, '--grpc-host', '127.0.0.1', '--grpc-port', `${fulcioGrpc}`],
      ...['--metrics-port', `${fulcioMetrics}`, '--legacy-unix-domain-socket', at('fulcio.sock')],
    ]);
    start('timestamp-server', [
      ...['serve', '--host', '127.0.0.1', '--port', `${tsa}`],
      ...['--timestamp-signer', 'memory', '--disable-ntp-monitoring'],
    ]);
    start('posix', [
      ...['serve', '--http-address', '127.0.0.1', '--http-port', `${rekor}`, '--grpc-address', '127.0.0.1'],
      ...['--grpc-port', `${rekorGrpc}`, '--http-metrics-port', `${rekorMetrics}`, '--hostname', '127.0.0.1'],
      ...['--storage-dir', at('rekor'), '--signer-filepath', at('rekor.key')],
      ...['--checkpoint-interval', '100ms', '--batch-max-age', '20ms'],
    ]);
    await Promise.all([
      healthy(`http://127.0.0.1:${fulcio}/healthz`, folder),
      healthy(`http://127.0.0.1:${tsa}/ping`, folder),
      healthy(`http://127.0.0.1:${rekor}/healthz`, folder),
    ]);
    const chain = await fetch(`http://127.0.0.1:${tsa}/api/v1/timestamp/certchain`);
    await writeFile(at('tsa.pem'), await chain.text());
    const since = 'start-time=2020-01-01T00:00:00Z';
    cosign('trusted-root', 'create', [
      ...['--fulcio', `url=http://127.0.0.1:${fulcio},certificate-chain=${at('ca.pem')}`],
      ...['--tsa', `url=http://127.0.0.1:${tsa},certificate-chain=${at('tsa.pem')}`],
      ...['--rekor', `url=http://127.0.0.1:${rekor},public-key=${at('rekor.pub')},${since},origin=127.0.0.1`],
      ...['--ctfe', `url=${ctLog.url},public-key=${at('ct.pub')},${since}`],
      ...['--out', at('trusted_root.json')],
    ]);
    cosign('signing-config', 'create', [
      ...['--fulcio', `url=http://127.0.0.1:${fulcio},api-version=1,${since},operator=test`],
      ...[
        '--tsa',
        `url=http://127.0.0.1:${tsa}/api/v1/timestamp,api-version=1,${since},operator=test`,
        '--tsa-config=ANY',
      ],
      ...['--rekor', `url=http://127.0.0.1:${rekor},api-version=2,${since},operator=test`, '--rekor-config=ANY'],
      ...['--out', at('signing_config.json')],
    ]);
  } catch (error) {
    await stop();
    throw error;
  }
  return { issuer, trustedRoot: at('trusted_root.json'), signingConfig: at('signing_config.json'), stop };
}

/** Loopback must not go through anybody's proxy. */
export function environment(): NodeJS.ProcessEnv {
  return { ...process.env, NO_PROXY: '127.0.0.1,localhost', no_proxy: '127.0.0.1,localhost' };
}

function cosign(...[command, verb, args]: readonly [string, string, readonly string[]]): void {
  execFileSync(commandPath('cosign')!, [command, verb, ...args], { stdio: 'pipe', env: environment() });
}

async function certificateAuthority(folder: string): Promise<void> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' } as const;
  await writeFile(join(folder, 'ca.key'), privateKey.export(pem), { mode: 0o600 });
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-new', '-key', join(folder, 'ca.key'), '-passin', 'pass:x', '-days', '30'],
      ...['-subj', '/O=test/CN=test-ca', '-addext', 'basicConstraints=critical,CA:TRUE'],
      ...['-addext', 'keyUsage=critical,keyCertSign,cRLSign', '-out', join(folder, 'ca.pem'), '-config', '/dev/null'],
    ],
    { stdio: 'pipe' },
  );
}

function fulcioConfig({ url, ciUrl, gitlabUrl }: Issuer): string {
  const text = (value: object) => JSON.stringify(value);
  // With a comment it isn't JSON, which Fulcio would take for its older form with other names.
  return `# YAML\n${text({
    'oidc-issuers': {
      [url]: { 'issuer-url': url, 'client-id': 'sigstore', type: 'email' },
      [ciUrl]: { 'issuer-url': ciUrl, 'client-id': 'sigstore', type: 'ci-provider', 'ci-provider': 'github-workflow' },
      [gitlabUrl]: {
        'issuer-url': gitlabUrl,
        'client-id': 'sigstore',
        type: 'ci-provider',
        'ci-provider': 'gitlab-pipeline',
      },
    },
    'ci-issuer-metadata': {
      'github-workflow': {
        'default-template-values': { url: 'https://github.com' },
        'extension-templates': {
          'github-workflow-trigger': 'event_name',
          'github-workflow-sha': 'sha',
          'github-workflow-name': 'workflow',
          'github-workflow-repository': 'repository',
          'github-workflow-ref': 'ref',
          'build-signer-uri': '{{ .url }}/{{ .job_workflow_ref }}',
          'build-signer-digest': 'job_workflow_sha',
          'runner-environment': 'runner_environment',
          'source-repository-uri': '{{ .url }}/{{ .repository }}',
          'source-repository-digest': 'sha',
          'source-repository-ref': 'ref',
          'source-repository-identifier': 'repository_id',
          'source-repository-owner-uri': '{{ .url }}/{{ .repository_owner }}',
          'source-repository-owner-identifier': 'repository_owner_id',
          'build-config-uri': '{{ .url }}/{{ .workflow_ref }}',
          'build-config-digest': 'workflow_sha',
          'build-trigger': 'event_name',
          'run-invocation-uri': '{{ .url }}/{{ .repository }}/actions/runs/{{ .run_id }}/attempts/{{ .run_attempt }}',
          'source-repository-visibility-at-signing': 'repository_visibility',
        },
        'subject-alternative-name-template': '{{ .url }}/{{ .job_workflow_ref }}',
      },
      // As the public instance's configuration has it.
      'gitlab-pipeline': {
        'default-template-values': { url: 'https://gitlab.com' },
        'extension-templates': {
          'build-signer-uri': 'https://{{ .ci_config_ref_uri }}',
          'build-signer-digest': 'ci_config_sha',
          'runner-environment': 'runner_environment',
          'source-repository-uri': '{{ .url }}/{{ .project_path }}',
          'source-repository-digest': 'sha',
          'source-repository-ref': 'refs/{{if eq .ref_type "branch"}}heads/{{ else }}tags/{{end}}{{ .ref }}',
          'source-repository-identifier': 'project_id',
          'source-repository-owner-uri': '{{ .url }}/{{ .namespace_path }}',
          'source-repository-owner-identifier': 'namespace_id',
          'build-config-uri': 'https://{{ .ci_config_ref_uri }}',
          'build-config-digest': 'ci_config_sha',
          'build-trigger': 'pipeline_source',
          'run-invocation-uri': '{{ .url }}/{{ .project_path }}/-/jobs/{{ .job_id }}',
          'source-repository-visibility-at-signing': 'project_visibility',
        },
        'subject-alternative-name-template': 'https://{{ .ci_config_ref_uri }}',
      },
    },
  })}\n`;
}

async function healthy(url: string, folder: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const answer = await fetch(url).catch(() => undefined);
    if (answer?.ok) return;
    if (Date.now() > deadline) {
      const logs = await Promise.all(
        ['fulcio', 'timestamp-server', 'posix'].map(async (name) => {
          const text = await readFile(join(folder, `${name}.log`), 'utf8').catch(() => '');
          return `${name}: ${text.slice(-1000)}`;
        }),
      );
      throw new Error(`${url} does not come up\n${logs.join('\n')}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 3000);
  await gone;
  clearTimeout(timer);
}

async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<net.Server>((resolve) => {
          const server = net.createServer().listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
