import { generateKeyPairSync, sign } from 'node:crypto';
import http from 'node:http';

export interface Issuer {
  /** Of people, and of CIs whose tokens look like GitHub's and GitLab's. */
  readonly url: string;
  readonly ciUrl: string;
  readonly gitlabUrl: string;
  emailToken(email: string): string;
  ciToken(claims: CiClaims): string;
  /** As gitlab.com gives a job on a branch's push. */
  gitlabToken(claims: GitlabClaims): string;
  stop(): Promise<void>;
}

export interface CiClaims {
  /** `owner/name`. */
  readonly repository: string;
  readonly repositoryId: string;
  readonly ownerId: string;
  /** Path of the workflow in its repository. */
  readonly workflow: string;
  readonly ref: string;
}

export interface GitlabClaims {
  /** `group/name`. */
  readonly project: string;
  readonly branch: string;
}

/** An OpenID issuer: discovery, keys and RS256 tokens. */
export async function startIssuer(port: number): Promise<Issuer> {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'test', alg: 'RS256', use: 'sig' };
  const url = `http://127.0.0.1:${port}`;
  const ciUrl = `${url}/gha`;
  const gitlabUrl = `${url}/gitlab`;
  const server = http.createServer((request, response) => {
    response.setHeader('content-type', 'application/json');
    const issuer = [ciUrl, gitlabUrl].find((one) => `${url}${request.url}`.startsWith(`${one}/`)) ?? url;
    if (request.url?.endsWith('/.well-known/openid-configuration')) {
      response.end(
        JSON.stringify({
          issuer,
          jwks_uri: `${url}/keys`,
          authorization_endpoint: `${url}/auth`,
          token_endpoint: `${url}/token`,
          id_token_signing_alg_values_supported: ['RS256'],
          response_types_supported: ['id_token'],
          subject_types_supported: ['public'],
        }),
      );
    } else response.end(JSON.stringify({ keys: [jwk] }));
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const token = (claims: object): string => {
    const now = Math.floor(Date.now() / 1000);
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const head = encode({ alg: 'RS256', kid: 'test', typ: 'JWT' });
    const body = encode({ aud: 'sigstore', iat: now - 5, nbf: now - 5, exp: now + 600, ...claims });
    return `${head}.${body}.${sign('sha256', Buffer.from(`${head}.${body}`), privateKey).toString('base64url')}`;
  };
  return {
    url,
    ciUrl,
    gitlabUrl,
    emailToken: (email) => token({ iss: url, sub: email, email, email_verified: true }),
    ciToken: ({ repository, repositoryId, ownerId, workflow, ref }) => {
      const owner = repository.split('/')[0];
      const sha = '0123456789abcdef0123456789abcdef01234567';
      return token({
        iss: ciUrl,
        sub: `repo:${repository}:ref:${ref}`,
        job_workflow_ref: `${repository}/${workflow}@${ref}`,
        job_workflow_sha: sha,
        workflow_ref: `${repository}/${workflow}@${ref}`,
        workflow_sha: sha,
        workflow: 'release',
        repository,
        repository_id: repositoryId,
        repository_owner: owner,
        repository_owner_id: ownerId,
        repository_visibility: 'public',
        runner_environment: 'github-hosted',
        event_name: 'push',
        ref,
        sha,
        run_id: '1',
        run_attempt: '1',
      });
    },
    gitlabToken: ({ project, branch }) => {
      const config = `gitlab.com/${project}//.gitlab-ci.yml@refs/heads/${branch}`;
      const sha = '0123456789abcdef0123456789abcdef01234567';
      return token({
        iss: gitlabUrl,
        sub: `project_path:${project}:ref_type:branch:ref:${branch}`,
        namespace_id: '7',
        namespace_path: project.split('/')[0],
        project_id: '101',
        project_path: project,
        project_visibility: 'public',
        pipeline_id: '1',
        pipeline_source: 'push',
        job_id: '1',
        ref: branch,
        ref_type: 'branch',
        ref_path: `refs/heads/${branch}`,
        ref_protected: 'true',
        runner_id: 1,
        runner_environment: 'gitlab-hosted',
        sha,
        ci_config_ref_uri: config,
        ci_config_sha: sha,
      });
    },
    stop: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
