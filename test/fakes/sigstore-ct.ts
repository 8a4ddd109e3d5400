import { createHash, generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import http from 'node:http';

export interface CtLog {
  readonly url: string;
  /** PEM. */
  readonly publicKey: string;
  stop(): Promise<void>;
}

/** The one call of a certificate transparency log that a certificate authority makes (RFC 6962, 4.2): it signs, and keeps nothing. */
export async function startCtLog(port: number): Promise<CtLog> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const id = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest();
  const server = http.createServer((request, response) => {
    const body: Buffer[] = [];
    request.on('data', (chunk: Buffer) => body.push(chunk));
    request.on('end', () => {
      const { chain } = JSON.parse(Buffer.concat(body).toString()) as { chain: string[] };
      const timestamp = Date.now();
      const [leaf, issuer] = chain.map((one) => Buffer.from(one, 'base64'));
      const signature = sign('sha256', signedData(leaf!, issuer!, timestamp), privateKey);
      // DigitallySigned: SHA-256, ECDSA, two bytes of length.
      const signed = Buffer.concat([Buffer.of(4, 3, signature.length >> 8, signature.length & 0xff), signature]);
      response.setHeader('content-type', 'application/json');
      response.end(
        JSON.stringify({
          sct_version: 0,
          id: id.toString('base64'),
          timestamp,
          extensions: '',
          signature: signed.toString('base64'),
        }),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${port}`,
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    stop: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** RFC 6962, 3.2: a precertificate entry, over the certificate without its poison and the hash of its issuer's key. */
function signedData(precertificate: Buffer, issuer: Buffer, timestamp: number): Buffer {
  const issuerKey = new X509Certificate(issuer).publicKey.export({ type: 'spki', format: 'der' });
  const tbs = withoutPoison(precertificate);
  const head = Buffer.alloc(12);
  head.writeBigUInt64BE(BigInt(timestamp), 2);
  head.writeUInt16BE(1, 10);
  const length = Buffer.alloc(3);
  length.writeUIntBE(tbs.length, 0, 3);
  return Buffer.concat([head, createHash('sha256').update(issuerKey).digest(), length, tbs, Buffer.of(0, 0)]);
}

interface Element {
  readonly tag: number;
  readonly whole: Buffer;
  readonly content: Buffer;
}

const POISON = Buffer.from('060a2b06010401d679020403', 'hex');

function withoutPoison(certificate: Buffer): Buffer {
  const [outer] = elements(certificate);
  const [tbs] = elements(outer!.content);
  const fields = elements(tbs!.content).map((field) => {
    if (field.tag !== 0xa3) return field.whole;
    const [list] = elements(field.content);
    const kept = elements(list!.content).filter(({ content }) => !content.subarray(0, POISON.length).equals(POISON));
    return encode(0xa3, encode(0x30, Buffer.concat(kept.map(({ whole }) => whole))));
  });
  return encode(0x30, Buffer.concat(fields));
}

function elements(der: Buffer): Element[] {
  const found: Element[] = [];
  for (let at = 0; at < der.length; ) {
    const first = der[at + 1]!;
    const extra = first < 0x80 ? 0 : first & 0x7f;
    const length = extra === 0 ? first : der.readUIntBE(at + 2, extra);
    const start = at + 2 + extra;
    found.push({
      tag: der[at]!,
      whole: der.subarray(at, start + length),
      content: der.subarray(start, start + length),
    });
    at = start + length;
  }
  return found;
}

function encode(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...head]), content]);
}
