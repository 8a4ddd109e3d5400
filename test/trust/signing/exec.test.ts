import { createPrivateKey, sign } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sha256 } from '../../../digest/index.ts';
import { envelopeVerifies } from '../../../trust/dsse.ts';
import {
  execSigner,
  generateKey,
  PREDICATES,
  type PrivateKey,
  parseBundle,
  publicPem,
  seal,
  statement,
} from '../../../trust/index.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'trust-exec-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A plugin: a Node script with `key` (PEM), `publicKey` (PEM), `fs` and `crypto` at hand, and what it does when asked to sign. */
async function plugin(key: PrivateKey, signing: string): Promise<readonly string[]> {
  const path = join(folder, 'plugin.cjs');
  const pem = key.private.export({ type: 'pkcs8', format: 'pem' }).toString();
  await writeFile(
    path,
    `const fs = require('fs'), crypto = require('crypto');
const key = ${JSON.stringify(pem)};
if (process.argv[2] === 'public-key') process.stdout.write(${JSON.stringify(publicPem(key))});
else { ${signing} }`,
  );
  return [process.execPath, path];
}

const environment = { PATH: process.env.PATH };
const bytes = Buffer.from('what is to be signed');

describe('an exec signer', () => {
  test.each([
    ['ecdsa-p256', `process.stdout.write(crypto.sign('sha256', fs.readFileSync(0), key).toString('base64') + '\\n')`],
    [
      'ecdsa-p256',
      `process.stdout.write(crypto.sign('sha256', fs.readFileSync(0), { key, dsaEncoding: 'ieee-p1363' }).toString('base64'))`,
    ],
    ['ed25519', `process.stdout.write(crypto.sign(null, fs.readFileSync(0), key).toString('base64'))`],
  ] as const)('with a %s key seals a bundle that verifies', async (kind, signing) => {
    const key = generateKey(kind);
    const signer = await execSigner(await plugin(key, signing), { environment });
    const { envelope, material } = parseBundle(
      await seal(statement([sha256('x')], PREDICATES.signature, {}), signer),
      'b',
    );
    expect(material).toEqual({ kind: 'key', hint: key.id });
    expect(envelopeVerifies(envelope, key)).toBe(true);
  });

  test('is given the digest, and nothing of our environment', async () => {
    const key = generateKey();
    const signing = `if (process.env.MCP_BUILD_SHA256 !== crypto.hash('sha256', fs.readFileSync(0))) process.exit(3);
      if (Object.keys(process.env).some((name) => !['PATH', 'MCP_BUILD_SHA256', 'NODE_EXTRA_CA_CERTS'].includes(name))) { console.error(Object.keys(process.env)); process.exit(4); }
      process.stdout.write(crypto.sign('sha256', ${JSON.stringify(bytes.toString())}, key).toString('base64'))`;
    const signer = await execSigner(await plugin(key, signing), { environment });
    expect((await signer.sign(bytes)).signature.length).toBeGreaterThan(60);
  });

  const other = generateKey().private.export({ type: 'pkcs8', format: 'pem' }).toString();
  const othersSignature = sign('sha256', bytes, createPrivateKey(other)).toString('base64');
  test.each([
    ['prints nothing', '', 'signer-invalid'],
    ['prints words', `process.stdout.write('no')`, 'signer-invalid'],
    ['prints another key’s signature', `process.stdout.write(${JSON.stringify(othersSignature)})`, 'signer-invalid'],
    [
      'signs something else',
      `process.stdout.write(crypto.sign('sha256', 'else', key).toString('base64'))`,
      'signer-invalid',
    ],
    ['fails', `console.error('token expired'); process.exit(7)`, 'signer-failed'],
    ['never stops talking', `setInterval(() => process.stdout.write('x'.repeat(60000)), 1)`, 'signer-failed'],
    [
      'hangs, with a child',
      `require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' }); setInterval(() => {}, 1000)`,
      'signer-failed',
    ],
  ])('that %s is refused', async (_, signing, code) => {
    const signer = await execSigner(await plugin(generateKey(), signing), { environment, timeout: 4000 });
    await expect(signer.sign(bytes)).rejects.toMatchObject({ code });
  });

  test('says what the program said', async () => {
    const signer = await execSigner(await plugin(generateKey(), `console.error('token expired'); process.exit(7)`), {
      environment,
    });
    await expect(signer.sign(bytes)).rejects.toThrow(/7: token expired/);
  });

  test('that can’t be started is refused', async () => {
    await expect(execSigner([join(folder, 'none')], { environment })).rejects.toMatchObject({ code: 'signer-failed' });
    await expect(execSigner([], { environment })).rejects.toMatchObject({ code: 'signer-failed' });
  });

  test('goes through no shell', async () => {
    const [node, script] = await plugin(generateKey(), '');
    await execSigner([node!, script!], { environment });
    await expect(execSigner([`${node} ${script}; touch ${folder}/pwned #`], { environment })).rejects.toMatchObject({
      code: 'signer-failed',
    });
    expect(await readdir(folder)).toEqual(['plugin.cjs']);
  });
});
