import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Rekor1 {
  readonly url: string;
  /** A trusted root with this log and nothing else. */
  readonly trustedRoot: object;
  /** Answer the next requests with this instead. */
  answer?: { readonly status: number; readonly body: string } | undefined;
  stop(): Promise<void>;
}

/** A Rekor of the first version whose log has room for one entry: signed promise, inclusion proof and checkpoint are real. */
export async function startRekor1(): Promise<Rekor1> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const logId = createHash('sha256').update(spki).digest();
  const server = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      response.setHeader('content-type', 'application/json');
      if (fake.answer) {
        response.statusCode = fake.answer.status;
        response.end(fake.answer.body);
        return;
      }
      const proposed = JSON.parse(Buffer.concat(chunks).toString()) as {
        kind: string;
        spec: { proposedContent: { envelope: string; verifiers: string[] } };
      };
      const { envelope, verifiers } = proposed.spec.proposedContent;
      const { payload, signatures } = JSON.parse(envelope) as { payload: string; signatures: { sig: string }[] };
      const hash = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex');
      const body = Buffer.from(
        JSON.stringify({
          apiVersion: '0.0.1',
          kind: proposed.kind,
          spec: {
            envelopeHash: { algorithm: 'sha256', value: hash(envelope) },
            payloadHash: { algorithm: 'sha256', value: hash(Buffer.from(payload, 'base64')) },
            signatures: [{ signature: signatures[0]!.sig, verifier: verifiers[0] }],
          },
        }),
      );
      const root = createHash('sha256').update(Buffer.of(0)).update(body).digest();
      const note = `127.0.0.1\n1\n${root.toString('base64')}\n`;
      const noteSignature = Buffer.concat([logId.subarray(0, 4), sign('sha256', Buffer.from(note), privateKey)]);
      const integratedTime = Math.floor(Date.now() / 1000);
      // RFC 8785: the keys in this order, no white space.
      const promise = { body: body.toString('base64'), integratedTime, logID: logId.toString('hex'), logIndex: 0 };
      const entry = {
        ...promise,
        verification: {
          signedEntryTimestamp: sign('sha256', Buffer.from(JSON.stringify(promise)), privateKey).toString('base64'),
          inclusionProof: {
            checkpoint: `${note}\n\u2014 127.0.0.1 ${noteSignature.toString('base64')}\n`,
            hashes: [],
            logIndex: 0,
            rootHash: root.toString('hex'),
            treeSize: 1,
          },
        },
      };
      response.statusCode = 201;
      response.end(JSON.stringify({ ['f'.repeat(80)]: entry }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const fake: Rekor1 = {
    url,
    trustedRoot: {
      mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
      tlogs: [
        {
          baseUrl: 'http://127.0.0.1',
          hashAlgorithm: 'SHA2_256',
          publicKey: {
            rawBytes: spki.toString('base64'),
            keyDetails: 'PKIX_ECDSA_P256_SHA_256',
            validFor: { start: '2020-01-01T00:00:00Z' },
          },
          logId: { keyId: logId.toString('base64') },
        },
      ],
    },
    stop: () => new Promise((resolve) => server.close(() => resolve())),
  };
  return fake;
}
