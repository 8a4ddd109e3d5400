import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type LayoutStore, openLayout, parseManifest, readDocument } from '../../registry/index.ts';
import {
  attach,
  attest,
  failures,
  formatBundle,
  gather,
  generateKey,
  judge,
  keyPolicy,
  keySigner,
  PREDICATES,
  type PublicKey,
  parseBundle,
  parsePublicKey,
  publicPem,
  seal,
  signImage,
  statement,
  verifyContent,
} from '../../trust/index.ts';
import { one, type TestImage, writeImage } from './image.ts';

const NOW = new Date('2026-11-22T12:00:00Z');
const AMD64 = { os: 'linux', architecture: 'amd64' };

let folder: string;
let store: LayoutStore;
let image: TestImage;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'trust-sign-'));
  store = await openLayout(folder);
  image = await writeImage(store);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function verdictBy(key: PublicKey, subject = image.index, options = {}) {
  return judge(keyPolicy([parsePublicKey(publicPem(key), 'k')]), await gather(store, subject, options), NOW);
}

async function failed(key: PublicKey, subject = image.index, options = {}) {
  return failures(await verdictBy(key, subject, options)).map(({ id }) => id);
}

describe.each(['ecdsa-p256', 'ed25519'] as const)('an image signed with a %s key', (kind) => {
  const key = generateKey(kind);

  test('passes, as an index, as one platform of it, and as the platform itself', async () => {
    const done = await signImage(store, image.index, keySigner(key), NOW);
    expect(done.map(({ subject }) => subject).sort()).toEqual(
      [image.index, ...image.platforms].map(({ digest }) => digest).sort(),
    );
    expect(done.at(-1)?.subject).toBe(image.index.digest);
    for (const options of [{ layers: true }, { platforms: AMD64 }, { platforms: 'none' }]) {
      expect(await verdictBy(key, image.index, options)).toMatchObject({
        subject: image.index.digest,
        verdict: 'pass',
      });
    }
    expect(await failed(key, image.platforms[1])).toEqual([]);
  });

  test('is refused for another key', async () => {
    await signImage(store, image.index, keySigner(key), NOW);
    expect(await failed(generateKey(kind))).toEqual(['untrusted-signer']);
  });

  test('gets no second signature from the same key, and one from another', async () => {
    await signImage(store, image.index, keySigner(key), NOW);
    const again = await signImage(store, image.index, keySigner(key), new Date('2027-01-01T00:00:00Z'));
    expect(again.every(({ added }) => !added)).toBe(true);
    expect(await store.referrers(image.index.digest)).toHaveLength(1);
    await signImage(store, image.index, keySigner(generateKey(kind)), NOW);
    expect(await store.referrers(image.index.digest)).toHaveLength(2);
    expect(await failed(key)).toEqual([]);
  });
});

describe('said again', () => {
  const key = generateKey();
  const provenance = (day: number, builder = 'urn:example:a') => ({
    buildDefinition: { buildType: 'urn:example:build' },
    runDetails: {
      builder: { id: builder },
      metadata: { invocationId: `run ${day}`, startedOn: `2026-11-0${day}T00:00:00Z`, finishedOn: undefined },
    },
  });
  const say = async (type: string, value: unknown, by = key, again = false) =>
    (await attest(store, image.index, type, value, keySigner(by), NOW, again)).added;

  test('provenance of the same build is not another', async () => {
    const { referrer } = await attest(store, image.index, PREDICATES.provenance, provenance(1), keySigner(key), NOW);
    expect(await attest(store, image.index, PREDICATES.provenance, provenance(2), keySigner(key), NOW)).toEqual({
      subject: image.index.digest,
      referrer,
      added: false,
    });
    expect(await store.referrers(image.index.digest)).toHaveLength(1);
  });

  test.each([
    ['by another key', () => say(PREDICATES.provenance, provenance(2), generateKey())],
    ['of another builder', () => say(PREDICATES.provenance, provenance(1, 'urn:example:b'))],
    ['when it is asked for', () => say(PREDICATES.provenance, provenance(1), key, true)],
    ['of another form', () => say(PREDICATES.provenance, { runDetails: null })],
  ])('it is, %s', async (_name, saying) => {
    await say(PREDICATES.provenance, provenance(1));
    expect(await saying()).toBe(true);
    expect(await store.referrers(image.index.digest)).toHaveLength(2);
  });

  test('a scan of another day is, and so is what looks like provenance and is something else', async () => {
    expect(await say(PREDICATES.vulns, provenance(1))).toBe(true);
    expect(await say(PREDICATES.vulns, provenance(1))).toBe(false);
    expect(await say(PREDICATES.vulns, provenance(2))).toBe(true);
    expect(await say(PREDICATES.provenance, provenance(2))).toBe(true);
  });

  test('in an envelope that only names the key, it was not', async () => {
    const said = statement([image.index.digest], PREDICATES.provenance, provenance(1));
    const sealed = async (signer: ReturnType<typeof generateKey>) =>
      JSON.parse((await seal(said, keySigner(signer))).toString());
    const [own, forged] = await Promise.all([sealed(key), sealed(generateKey())]);
    forged.verificationMaterial.publicKey = own.verificationMaterial.publicKey;
    await attach(store, image.index, Buffer.from(JSON.stringify(forged)), PREDICATES.provenance, NOW);
    expect(await say(PREDICATES.provenance, provenance(1))).toBe(true);
  });
});

describe('the referrer', () => {
  test('is what cosign 3 writes', async () => {
    const key = generateKey();
    const { referrer } = await attest(store, image.index, PREDICATES.signature, {}, keySigner(key), NOW);
    const [listed] = await store.referrers(image.index.digest);
    expect(listed).toMatchObject({ digest: referrer, artifactType: 'application/vnd.dev.sigstore.bundle.v0.3+json' });
    const manifest = parseManifest(await readDocument(store, listed!), undefined, 'm');
    expect(manifest).toMatchObject({
      kind: 'image',
      config: { mediaType: 'application/vnd.oci.empty.v1+json', size: 2 },
      layers: [{ mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json' }],
      subject: { digest: image.index.digest, size: image.index.size },
      annotations: {
        'dev.sigstore.bundle.content': 'dsse-envelope',
        'dev.sigstore.bundle.predicateType': 'https://sigstore.dev/cosign/sign/v1',
        'org.opencontainers.image.created': '2026-11-22T12:00:00Z',
      },
    });
    const bundle = JSON.parse(
      Buffer.from(await readDocument(store, manifest.kind === 'image' ? manifest.layers[0]! : listed!)).toString(),
    );
    expect(bundle.verificationMaterial).toEqual({ publicKey: { hint: key.id } });
    expect(bundle.dsseEnvelope.signatures).toEqual([{ sig: expect.any(String) }]);
    expect(JSON.parse(Buffer.from(bundle.dsseEnvelope.payload, 'base64').toString())).toEqual({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ digest: { sha256: image.index.digest.slice(7) } }],
      predicateType: 'https://sigstore.dev/cosign/sign/v1',
      predicate: {},
    });
  });
});

describe('verification by key refuses', () => {
  const key = generateKey();
  const signer = keySigner(key);

  test('an image without a signature', async () => {
    expect(await failed(key)).toEqual(['unsigned']);
  });

  test("another image's bundle, copied", async () => {
    const other = await writeImage(store, 'other');
    const bundle = await seal(statement([other.index.digest], PREDICATES.signature, {}), signer);
    await attach(store, image.index, bundle, PREDICATES.signature, NOW);
    expect(await failed(key)).toEqual(['subject-mismatch']);
  });

  test.each(['cyclonedx', 'vulns', 'provenance'] as const)(
    'a %s attestation offered as the signature',
    async (name) => {
      await attest(store, image.index, PREDICATES[name], {}, signer, NOW);
      expect(await failed(key)).toEqual(['predicate-mismatch']);
    },
  );

  test('a certificate, also where its key is the trusted one', async () => {
    const said = statement([image.index.digest], PREDICATES.signature, {});
    const { envelope } = parseBundle(await seal(said, signer), 'b');
    // The library reads the certificate; a key verification must not come that far.
    const bundle = formatBundle(envelope, { kind: 'certificate', der: Buffer.from('a certificate') }, []);
    await attach(store, image.index, bundle, PREDICATES.signature, NOW);
    expect(await failed(key)).toEqual(['untrusted-signer']);
  });

  test('a signature of one platform only, where the index is asked for', async () => {
    await signImage(store, image.platforms[0]!, signer, NOW);
    expect(await failed(key)).toEqual(['unsigned']);
    expect(await failed(key, image.index, { platforms: AMD64 })).toEqual([]);
    await signImage(store, image.platforms[1]!, signer, NOW);
    expect(await failed(key)).toEqual([]);
  });

  test('garbage that calls itself a bundle', async () => {
    await attach(store, image.index, Buffer.from('garbage'), PREDICATES.signature, NOW);
    expect(await failed(key)).toEqual(['unsigned']);
    await signImage(store, image.index, signer, NOW);
    expect(await failed(key)).toEqual([]);
  });

  test('any changed byte of a manifest, config or layer', async () => {
    await signImage(store, image.index, signer, NOW);
    for (const { digest } of [image.index, ...image.platforms, ...image.configs, ...image.layers]) {
      const path = store.pathOf(digest);
      const good = await readFile(path);
      for (const at of [0, good.length >> 1, good.length - 1]) {
        const bad = Buffer.from(good);
        bad[at]! ^= 1;
        await writeFile(path, bad);
        expect(await failed(key, image.index, { layers: true })).toContain('content-mismatch');
        const { problems } = await verifyContent(store, image.index);
        expect(problems.map((problem) => problem.digest)).toContain(digest);
      }
      await writeFile(path, good);
    }
    await rm(store.pathOf(image.layers[0]!.digest));
    expect(await failed(key, image.index, { layers: true })).toEqual(['content-mismatch']);
  });
});

describe('gathering', () => {
  const signer = keySigner(generateKey());

  test('fails where the list of referrers fails', async () => {
    const broken = { ...store, referrers: () => Promise.reject(new Error('500')) };
    await expect(gather(broken, image.index)).rejects.toMatchObject({ code: 'referrers-unavailable' });
  });

  test.each(['manifest', 'bundle'])('fails where a listed %s is missing', async (what) => {
    const { referrer } = await attest(store, image.index, PREDICATES.signature, {}, signer, NOW);
    const bytes = await readFile(store.pathOf(referrer));
    const manifest = parseManifest(bytes, undefined, 'm');
    if (manifest.kind !== 'image') throw new Error('not an image');
    await rm(store.pathOf(what === 'manifest' ? referrer : manifest.layers[0]!.digest));
    await expect(gather(store, image.index)).rejects.toMatchObject({ code: 'referrers-unavailable' });
  });

  test("ignores what isn't a bundle", async () => {
    const listed = { ...image.platforms[0]!, artifactType: 'application/vnd.example.notes' };
    const chatty = { ...store, referrers: async () => [listed] };
    expect((await gather(chatty, image.index)).attestations).toEqual([]);
  });

  test('reads a thousand referrers, and no more', async () => {
    const many = (count: number) => ({
      ...store,
      referrers: async () => Array.from({ length: count }, () => image.platforms[0]!),
    });
    expect((await gather(many(1000), image.index, { platforms: 'none' })).attestations).toEqual([]);
    await expect(gather(many(1001), image.index, { platforms: 'none' })).rejects.toMatchObject({
      code: 'referrers-too-many',
    });
  });

  test('fails where the index lacks the platform', async () => {
    const platforms = { os: 'linux', architecture: 's390x' };
    await expect(gather(store, image.index, { platforms })).rejects.toMatchObject({ code: 'platform-missing' });
  });

  test('does not believe a store about its bytes', async () => {
    const lying = { ...store, open: () => one(Buffer.from('{}')), read: () => one(Buffer.from('{}')) };
    expect((await verifyContent(lying, image.index)).problems).toMatchObject([{ digest: image.index.digest }]);
  });
});
