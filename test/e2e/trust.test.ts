import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { copy, type LayoutStore, openLayout, openRemote, type RemoteStore } from '../../registry/index.ts';
import {
  assess,
  attest,
  cyclonedx,
  failures,
  gather,
  generateKey,
  judge,
  keylessSigner,
  keyPolicy,
  keySigner,
  PREDICATES,
  parsePolicy,
  parsePrivateKey,
  parsePublicKey,
  parseSigningConfig,
  provenancePredicate,
  publicPem,
  readPrivateKey,
  type Signer,
  signImage,
  tokenIdentity,
  witnessesOf,
  writeKey,
} from '../../trust/index.ts';
import { environment, SIGSTORE_NEEDS, type Sigstore, startSigstore } from '../fakes/sigstore.ts';
import { type TestImage, writeImage } from '../trust/image.ts';
import { MATERIALS } from '../trust/materials.ts';
import { BUILD, SERVER } from '../trust/predicates.ts';
import { commandPath, describeWith } from './harness/needs.ts';

const run = promisify(execFile);

let folder: string;
let registry: ChildProcess;
let host: string;
let layout: LayoutStore;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'trust-e2e-'));
  layout = await openLayout(join(folder, 'layout'));
  const command = commandPath('registry');
  if (!command) return;
  const port = await freePort();
  registry = spawn(command, ['-port', `${port}`], { stdio: 'ignore' });
  host = `127.0.0.1:${port}`;
  for (let tries = 0; tries < 200; tries++) {
    if ((await fetch(`http://${host}/v2/`).catch(() => undefined))?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error('the registry does not come up');
});

afterAll(async () => {
  registry?.kill();
  await rm(folder, { recursive: true, force: true });
});

async function freePort(): Promise<number> {
  const server = await new Promise<net.Server>((resolve) => {
    const one = net.createServer().listen(0, '127.0.0.1', () => resolve(one));
  });
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A new image in a repository of its own. */
async function published(name: string): Promise<{ store: RemoteStore; image: TestImage; at: string }> {
  const image = await writeImage(layout, name);
  const store = openRemote({ registry: host, repository: `e2e/${name}` });
  await copy(layout, store, image.index, { referrers: false });
  return { store, image, at: `${host}/e2e/${name}@${image.index.digest}` };
}

/** Standard output of cosign; rejects when it refuses. */
async function cosign(...args: readonly string[]): Promise<string> {
  const env = { ...environment(), COSIGN_PASSWORD: 'pw', HOME: folder, TUF_ROOT: join(folder, 'tuf') };
  const { stdout } = await run(commandPath('cosign')!, args, { env, timeout: 120_000, cwd: folder });
  return stdout;
}

async function keyFiles(kind: 'ecdsa-p256' | 'ed25519', name: string) {
  const paths = { private: join(folder, `${name}.key`), public: join(folder, `${name}.pub`) };
  await writeKey(generateKey(kind), paths.private, paths.public, 'pw');
  return { paths, key: await readPrivateKey(paths.private, 'pw') };
}

const NOW = new Date();

describeWith(['cosign', 'registry'], 'cosign', () => {
  beforeAll(async () => {
    await cosign('signing-config', 'create', '--out', 'none.json');
    await cosign('generate-key-pair', '--output-key-prefix', 'theirs');
    await chmod(join(folder, 'theirs.key'), 0o600);
  });

  describe.each(['ecdsa-p256', 'ed25519'] as const)('with a %s key', (kind) => {
    test('verifies what we sign and attest, and nothing by another key', async () => {
      const { store, image, at } = await published(`ours-${kind}`);
      const { paths, key } = await keyFiles(kind, `ours-${kind}`);
      const signer = keySigner(key);
      await signImage(store, image.index, signer);
      await attest(store, image.index, PREDICATES.provenance, provenancePredicate(BUILD), signer, NOW);
      await attest(store, image.index, PREDICATES.cyclonedx, cyclonedx(MATERIALS, image.index.digest), signer, NOW);
      await attest(store, image.index, PREDICATES.server, SERVER, signer, NOW);
      const offline = ['--key', paths.public, '--insecure-ignore-tlog'];
      const [claim] = JSON.parse(await cosign('verify', ...offline, at));
      expect(claim.critical.image['docker-manifest-digest']).toBe(image.index.digest);
      for (const { digest } of image.platforms) await cosign('verify', ...offline, at.replace(/sha256:.*/, digest));
      for (const type of ['slsaprovenance1', 'cyclonedx', PREDICATES.server]) {
        await cosign('verify-attestation', ...offline, '--type', type, at);
      }
      const { paths: other } = await keyFiles(kind, `other-${kind}`);
      await expect(cosign('verify', '--key', other.public, '--insecure-ignore-tlog', at)).rejects.toThrow(
        /threshold|signature/,
      );
    });

    test('signs and attests what we verify', async () => {
      const { store, image, at } = await published(`theirs-${kind}`);
      const key = generateKey(kind);
      const plain = join(folder, `plain-${kind}.pem`);
      await writeFile(plain, key.private.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
      await cosign('import-key-pair', '--key', plain, '--output-key-prefix', `imported-${kind}`);
      const signing = ['-y', '--key', `imported-${kind}.key`, '--signing-config', 'none.json'];
      await cosign('sign', ...signing, at);
      await writeFile(join(folder, 'server.json'), JSON.stringify(SERVER));
      await cosign('attest', ...signing, '--type', PREDICATES.server, '--predicate', 'server.json', at);
      const trusted = parsePublicKey(await readFile(join(folder, `imported-${kind}.pub`), 'utf8'), 'imported');
      expect(trusted.id).toBe(key.id);
      const asked = { source: { ecosystem: 'npm' as const, name: '@example/server-memory' } };
      const evidence = await gather(store, image.index, { platforms: 'none', asked });
      expect(evidence.attestations).toHaveLength(2);
      expect(assess(keyPolicy([trusted]), evidence, NOW)).toMatchObject({
        verdict: { verdict: 'pass' },
        server: { source: { version: '1.2.3' } },
      });
      const refused = judge(keyPolicy([generateKey(kind)]), evidence, NOW);
      expect(failures(refused).map(({ id }) => id)).toContain('untrusted-signer');
    });
  });

  test('has a private key that we sign with', async () => {
    const { store, image, at } = await published('their-key');
    const text = await readFile(join(folder, 'theirs.key'), 'utf8');
    expect(() => parsePrivateKey(text, 'other', 'k')).toThrow(expect.objectContaining({ code: 'passphrase-wrong' }));
    const key = await readPrivateKey(join(folder, 'theirs.key'), 'pw');
    expect(publicPem(key)).toBe(await readFile(join(folder, 'theirs.pub'), 'utf8'));
    await signImage(store, image.index, keySigner(key));
    await cosign('verify', '--key', 'theirs.pub', '--insecure-ignore-tlog', at);
  });

  test('accepts an SBOM as a signature, which we do not', async () => {
    const { store, image, at } = await published('sbom-only');
    const { key, paths } = await keyFiles('ecdsa-p256', 'sbom-only');
    await attest(
      store,
      image.index,
      PREDICATES.cyclonedx,
      cyclonedx(MATERIALS, image.index.digest),
      keySigner(key),
      NOW,
    );
    await cosign('verify', '--key', paths.public, '--insecure-ignore-tlog', at);
    const verdict = judge(keyPolicy([key]), await gather(store, image.index), NOW);
    expect(failures(verdict).map(({ id }) => id)).toEqual(['predicate-mismatch']);
  });
});

describeWith([...SIGSTORE_NEEDS, 'registry'], 'a keyless Sigstore', () => {
  let sigstore: Sigstore;
  let policy: string;
  const claims = {
    repository: 'acme/servers',
    repositoryId: '101',
    ownerId: '7',
    workflow: '.github/workflows/release.yml',
    ref: 'refs/heads/main',
  };
  const identity = `https://github.com/${claims.repository}/${claims.workflow}@${claims.ref}`;

  beforeAll(async () => {
    sigstore = await startSigstore(join(folder, 'sigstore'));
    policy = JSON.stringify({
      version: 1,
      identities: {
        release: {
          issuer: sigstore.issuer.ciUrl,
          identity,
          root: sigstore.trustedRoot,
          repository: 'https://github.com/acme/servers',
          repositoryId: '101',
          ownerId: '7',
          ref: 'refs/heads/main',
          runner: 'github-hosted',
          trigger: 'push',
        },
      },
      rules: [{ name: 'all', signatures: { by: ['release'] } }],
    });
  });
  afterAll(() => sigstore?.stop());

  const signerOf = async (token: string): Promise<Signer> =>
    keylessSigner(
      parseSigningConfig(await readFile(sigstore.signingConfig, 'utf8'), 'sc', new Date()),
      tokenIdentity(`${token}\n`),
    );
  const policyOf = (text: string) => parsePolicy(text, 'policy.yaml', (path) => readFile(path, 'utf8'));
  const failed = async (text: string, store: RemoteStore, image: TestImage) =>
    failures(judge(await policyOf(text), await gather(store, image.index, { platforms: 'none' }), new Date())).map(
      ({ id }) => id,
    );

  test('signs for us, and cosign and we verify it', async () => {
    const { store, image, at } = await published('keyless-ours');
    const signer = await signerOf(sigstore.issuer.ciToken(claims));
    await attest(store, image.index, PREDICATES.signature, {}, signer, new Date());
    await attest(store, image.index, PREDICATES.provenance, provenancePredicate(BUILD), signer, new Date());
    expect(await failed(policy, store, image)).toEqual([]);
    const trusted = ['--trusted-root', sigstore.trustedRoot, '--use-signed-timestamps'];
    const who = ['--certificate-identity', identity, '--certificate-oidc-issuer', sigstore.issuer.ciUrl];
    await cosign('verify', ...trusted, ...who, at);
    await cosign('verify-attestation', ...trusted, ...who, '--type', 'slsaprovenance1', at);
    await expect(cosign('verify', ...trusted, '--certificate-identity', 'x', ...who.slice(2), at)).rejects.toThrow();
  });

  test('signs for cosign, and we verify it', async () => {
    const { store, image, at } = await published('keyless-theirs');
    await writeFile(join(folder, 'token'), sigstore.issuer.ciToken(claims));
    const services = ['--trusted-root', sigstore.trustedRoot, '--signing-config', sigstore.signingConfig];
    await cosign('sign', '-y', ...services, '--identity-token', 'token', '--oidc-disable-ambient-providers', at);
    expect(await failed(policy, store, image)).toEqual([]);
  });

  test('vouches for one identity, exactly', async () => {
    const { store, image } = await published('keyless-identity');
    const who = async (changes: object) => signerOf(sigstore.issuer.ciToken({ ...claims, ...changes }));
    const others = [
      { ref: 'refs/heads/main-but-not-quite' },
      { repository: 'acme/servers.evil' },
      { repositoryId: '102' },
      { ownerId: '8' },
      { workflow: '.github/workflows/release.yml.yml' },
    ];
    for (const one of others) await attest(store, image.index, PREDICATES.signature, {}, await who(one), new Date());
    const mail = await signerOf(sigstore.issuer.emailToken('someone@example.test'));
    await attest(store, image.index, PREDICATES.signature, {}, mail, new Date());
    expect(await failed(policy, store, image)).toEqual(['untrusted-signer']);
    const person = policy.replace(
      /"release":\{[^}]*\}/,
      `"release":${JSON.stringify({ issuer: sigstore.issuer.url, identity: 'someone@example.test', root: sigstore.trustedRoot })}`,
    );
    expect(await failed(person, store, image)).toEqual([]);
    expect(await failed(person.replace('someone@example', 'omeone@example'), store, image)).toEqual([
      'untrusted-signer',
    ]);
    // Its pattern would match as a regular expression.
    expect(await failed(person.replace('someone@example.test', 'some.ne@example.test'), store, image)).toEqual([
      'untrusted-signer',
    ]);
  });

  test('means nothing to who trusts another root, or a key', async () => {
    const { store, image } = await published('keyless-roots');
    await attest(
      store,
      image.index,
      PREDICATES.signature,
      {},
      await signerOf(sigstore.issuer.ciToken(claims)),
      new Date(),
    );
    expect(await failed(policy.replace(JSON.stringify(sigstore.trustedRoot), '"public-good"'), store, image)).toEqual([
      'untrusted-signer',
    ]);
    const evidence = await gather(store, image.index, { platforms: 'none' });
    expect(failures(judge(keyPolicy([generateKey()]), evidence, NOW)).map(({ id }) => id)).toEqual([
      'untrusted-signer',
    ]);
  });

  test('never sees its token in an error', async () => {
    const token = sigstore.issuer.ciToken(claims);
    const bad = `${token.slice(0, -20)}AAAAAAAAAAAAAAAAAAAA`;
    for (const one of [bad, 'no token', `${bad}.x.y`]) {
      const error = await (await signerOf(one)).sign(Buffer.from('x')).then(
        () => undefined,
        (fault: unknown) => fault,
      );
      expect(error).toMatchObject({ code: 'identity-refused' });
      const { inspect } = await import('node:util');
      expect(inspect(error, { depth: 10, showHidden: true })).not.toContain(one.slice(0, 40));
    }
  });

  test('witnesses a key, so that a key outlives its validity', async () => {
    const { store, image } = await published('keyless-witness');
    const key = generateKey();
    const services = parseSigningConfig(await readFile(sigstore.signingConfig, 'utf8'), 'sc', new Date());
    const signer = { ...keySigner(key), witnesses: witnessesOf(services, key) };
    await attest(store, image.index, PREDICATES.signature, {}, signer, new Date());
    const said = (extra: object) =>
      JSON.stringify({
        version: 1,
        keys: { team: { pem: publicPem(key), until: new Date(Date.now() + 3600_000).toISOString(), ...extra } },
        rules: [{ name: 'all', signatures: { by: ['team'] } }],
      });
    const later = new Date(Date.now() + 86_400_000);
    const evidence = await gather(store, image.index, { platforms: 'none' });
    const ids = async (text: string) => failures(judge(await policyOf(text), evidence, later)).map(({ id }) => id);
    expect(await ids(said({}))).toEqual(['untrusted-signer']);
    expect(await ids(said({ root: sigstore.trustedRoot, logEntries: 1, timestamps: 1 }))).toEqual([]);
    expect(await ids(said({ root: sigstore.trustedRoot, logEntries: 2, timestamps: 1 }))).toEqual(['untrusted-signer']);
  });
});
