import type { KeyObject } from 'node:crypto';
import { createRequire } from 'node:module';
import type * as bundleLibrary from '@sigstore/bundle';
import type * as protobufs from '@sigstore/protobuf-specs';
import type * as verifyLibrary from '@sigstore/verify';
import { z } from 'zod';
import { McpBuildError } from '../errors/index.ts';
import type { PublicKey } from './keys.ts';

// Loaded when the first certificate is met: who verifies by key never waits for protobufs and ASN.1. `require`, so that judging needs no
// await and stays one function of its arguments.
const require = createRequire(import.meta.url);
const libraries = {
  bundle: () => require('@sigstore/bundle') as typeof bundleLibrary,
  protobufs: () => require('@sigstore/protobuf-specs') as typeof protobufs,
  verify: () => require('@sigstore/verify') as typeof verifyLibrary,
};

/** The authorities a verifier trusts: `trusted_root.json`, read. */
export interface TrustedRoot {
  readonly name: string;
  /** The document, checked to be one. */
  readonly json: object;
}

/** How many of each must testify. */
export interface Testimonies {
  readonly logEntries: number;
  readonly certificateLogs: number;
  readonly timestamps: number;
}

/** What a verified certificate proves, and when. */
export interface Proven {
  readonly subject: string | undefined;
  readonly issuer: string | undefined;
  /** Fulcio's extensions by the last number of their OID (1.3.6.1.4.1.57264.1.N), text ones only. */
  readonly extensions: ReadonlyMap<number, string>;
  /** Each of these was verified to lie within the certificate's validity. */
  readonly times: readonly Date[];
}

/**
 * What a message signature (not a DSSE envelope) is over: bytes, or where only their SHA-256 is at hand, that and something that
 * verifies prehashed signatures, which node:crypto doesn't.
 */
export type Artifact =
  | Buffer
  | { readonly digest: Buffer; readonly verifies: (key: KeyObject, signature: Buffer) => boolean };

const FULCIO = [1, 3, 6, 1, 4, 1, 57264, 1];
const material = new WeakMap<object, verifyLibrary.TrustMaterial>();

// A missing start would be read as "since ever": a log's key could vouch for what was made before it was anyone's log.
const since = z.looseObject({ start: z.iso.datetime({ offset: true }) });
const log = z.looseObject({ publicKey: z.looseObject({ rawBytes: z.base64(), validFor: since }) });
const authority = z.looseObject({ certChain: z.looseObject({}), validFor: since });
const rootSchema = z.looseObject({
  mediaType: z.string().startsWith('application/vnd.dev.sigstore.trustedroot'),
  tlogs: z.array(log).max(100).optional(),
  ctlogs: z.array(log).max(100).optional(),
  certificateAuthorities: z.array(authority).max(100).optional(),
  timestampAuthorities: z.array(authority).max(100).optional(),
});

/** Source: sigstore protobuf-specs, sigstore_trustroot.proto. @throws McpBuildError `root-invalid` */
export function parseTrustedRoot(text: string, name: string): TrustedRoot {
  const root: TrustedRoot = { name, json: parseObject(text, name) };
  materialOf(root);
  return root;
}

/** Verifies a bundle with a certificate. @returns the proof, or in one sentence why there is none */
export function verifyCertificate(
  bundle: object,
  root: TrustedRoot,
  need: Testimonies,
  artifact?: Artifact,
): Proven | string {
  return attempt(() => {
    const entity = entityOf(bundle, artifact);
    // A bundle with a public key would be verified by whatever key the finder returns; nobody asked for a key here.
    if (entity.key.$case !== 'certificate') return 'it is not signed with a certificate';
    rememberDer(entity.key.certificate.root);
    const signer = verifierOf(root, need).verify(entity);
    return proven(signer, entity);
  });
}

/** Verifies a bundle with a key, and the log entries and timestamps in it. @returns undefined when it verifies, else why not */
export function verifyLogged(
  bundle: object,
  key: PublicKey,
  root: TrustedRoot,
  need: Pick<Testimonies, 'logEntries' | 'timestamps'>,
  artifact?: Artifact,
): { readonly times: readonly Date[] } | string {
  return attempt(() => {
    const entity = entityOf(bundle, artifact);
    if (entity.key.$case !== 'public-key') return 'it is not signed with a key';
    const publicKey = () => ({ publicKey: key.key, validFor: () => true });
    verifierOf(root, { ...need, certificateLogs: 0 }, publicKey).verify(entity);
    return { times: timesOf(entity) };
  });
}

function attempt<T>(work: () => T): T | string {
  try {
    return work();
  } catch (error) {
    // The library throws its own errors for most of what is wrong, and plain ones for what its parsers didn't expect. None of them
    // verifies anything.
    return error instanceof Error ? error.message.slice(0, 300) : 'it does not verify';
  }
}

function entityOf(bundle: object, artifact: Artifact | undefined): verifyLibrary.SignedEntity {
  const parsed = libraries.bundle().bundleFromJSON(bundle);
  if (artifact === undefined || Buffer.isBuffer(artifact)) return libraries.verify().toSignedEntity(parsed, artifact);
  const entity = libraries.verify().toSignedEntity(parsed);
  const { signature } = entity;
  const verifySignature = (key: KeyObject) =>
    signature.compareSignedDigest(artifact.digest) && artifact.verifies(key, signature.signature);
  return {
    ...entity,
    signature: {
      signature: signature.signature,
      compareSignature: (other) => signature.compareSignature(other),
      compareDigest: (digest) => signature.compareDigest(digest),
      compareSignedDigest: (digest) => signature.compareSignedDigest(digest),
      verifySignature,
    },
  };
}

function verifierOf(
  root: TrustedRoot,
  need: Testimonies,
  publicKey?: verifyLibrary.KeyFinderFunc,
): verifyLibrary.Verifier {
  const trusted = materialOf(root);
  return new (libraries.verify().Verifier)(publicKey ? { ...trusted, publicKey } : trusted, {
    tlogThreshold: need.logEntries,
    ctlogThreshold: need.certificateLogs,
    timestampThreshold: need.timestamps,
  });
}

function materialOf(root: TrustedRoot): verifyLibrary.TrustMaterial {
  const known = material.get(root.json);
  if (known) return known;
  try {
    const parsed = libraries.protobufs().TrustedRoot.fromJSON(root.json);
    const made = libraries.verify().toTrustMaterial(parsed);
    for (const { certChain } of [...made.certificateAuthorities, ...made.timestampAuthorities]) {
      for (const certificate of certChain) rememberAnswers(certificate);
    }
    material.set(root.json, made);
    return made;
  } catch {
    throw rootInvalid(root.name, 'is not a Sigstore trusted root');
  }
}

interface Asn1 {
  readonly subs: readonly Asn1[];
  toDER: () => Buffer;
}

type Certificate = verifyLibrary.TrustMaterial['certificateAuthorities'][number]['certChain'][number];

/**
 * The library encodes a root's certificates anew, node by node, and verifies them by each other, for every bundle: three quarters of its
 * time. They never change (what it edits is a copy of the leaf), so they keep their encoding, and whom they are issued by. Issuers are told
 * apart as objects: nothing that comes with a bundle can pass for one that was asked before.
 */
function rememberAnswers(certificate: Certificate): void {
  rememberDer(certificate.root);
  const verify = certificate.verify.bind(certificate);
  const known = new WeakMap<Certificate, boolean>();
  certificate.verify = (issuer = certificate) => {
    const before = known.get(issuer);
    if (before !== undefined) return before;
    const answer = verify(issuer);
    known.set(issuer, answer);
    return answer;
  };
}

function rememberDer(node: Asn1): void {
  // From the leaves up, so that no node is encoded twice.
  node.subs.forEach(rememberDer);
  const der = node.toDER();
  node.toDER = () => der;
}

function proven(signer: verifyLibrary.Signer, entity: verifyLibrary.SignedEntity): Proven {
  const extensions = new Map<number, string>();
  for (const { oid, value } of signer.identity?.oids ?? []) {
    const id = oid?.id ?? [];
    const number = id.at(-1);
    const text = derText(value);
    if (
      id.length === FULCIO.length + 1 &&
      FULCIO.every((part, at) => id[at] === part) &&
      number &&
      text !== undefined
    ) {
      extensions.set(number, text);
    }
  }
  return {
    subject: signer.identity?.subjectAlternativeName,
    issuer: signer.identity?.extensions?.issuer,
    extensions,
    times: timesOf(entity),
  };
}

/** Extensions from .8 on hold a DER UTF8String; only short and long one-byte lengths are of a size worth reading. */
function derText(value: Buffer): string | undefined {
  const long = value[1] === 0x81;
  const length = long ? value[2] : value[1];
  const start = long ? 3 : 2;
  if (value[0] !== 0x0c || length === undefined || (!long && length >= 0x80) || value.length !== start + length) {
    return undefined;
  }
  return value.subarray(start).toString('utf8');
}

function timesOf(entity: verifyLibrary.SignedEntity): readonly Date[] {
  return entity.timestamps.flatMap((one) => {
    if (one.$case === 'timestamp-authority') return [one.timestamp.signingTime];
    // Without the log's promise nobody signed this number.
    return one.tlogEntry.inclusionPromise ? [new Date(Number(one.tlogEntry.integratedTime) * 1000)] : [];
  });
}

function parseObject(text: string, name: string): object {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw rootInvalid(name, 'is not JSON');
  }
  const parsed = rootSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw rootInvalid(name, `at ${issue?.path.join('.') || 'its root'}: ${issue?.message ?? 'does not fit'}`);
}

function rootInvalid(input: string, reason: string): McpBuildError {
  return new McpBuildError({
    code: 'root-invalid',
    message: `Trusted root ${input} ${reason}`,
    input,
    fix: 'Name a trusted_root.json, as `cosign trusted-root create` writes it.',
    exit: 2,
  });
}
