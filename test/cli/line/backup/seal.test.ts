import { randomBytes } from 'node:crypto';
import {
  Decrypter,
  Encrypter,
  generateHybridIdentity,
  generateX25519Identity,
  identityToRecipient,
} from 'age-encryption';
import { beforeAll, describe, expect, test } from 'vitest';
import { decrypterFor, opened, openedBytes, sealedBytes, sealFor } from '../../../../cli/line/backup/seal.ts';

const CHUNK = 64 * 1024;
/** In bytes: about the ends of a chunk and of what is gathered before it is written. */
const SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 16 * CHUNK - 1, 16 * CHUNK, 16 * CHUNK + 1, 33 * CHUNK];

let identity: string;
let recipient: string;

beforeAll(async () => {
  identity = await generateX25519Identity();
  recipient = await identityToRecipient(identity);
});

/** In pieces of `size`, with an empty one before each. */
async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    yield new Uint8Array();
    yield bytes.subarray(at, at + size);
  }
}

async function joined(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of chunks) parts.push(part);
  return Buffer.concat(parts);
}

describe('a file of age', () => {
  test.each(SIZES)('of %i bytes is opened by the library, and the library’s here', async (size) => {
    const plain = randomBytes(size);
    const ours = await joined((await sealFor([recipient]))(pieces(plain, 100_000)));
    expect(plain.equals(await (await decrypterFor([identity])).decrypt(ours))).toBe(true);
    const encrypter = new Encrypter();
    encrypter.addRecipient(recipient);
    const theirs = await encrypter.encrypt(plain);
    expect(ours.length).toBe(theirs.length);
    expect(plain.equals(await joined(opened(await decrypterFor([identity]), pieces(theirs, 70_000))))).toBe(true);
    expect(
      plain.equals(await joined(opened(await decrypterFor([identity]), pieces(theirs.subarray(0), 1_000_000)))),
    ).toBe(true);
  });

  test('is opened by each of its recipients, a post-quantum one too, and by nobody else', async () => {
    const hybrid = await generateHybridIdentity();
    const sealed = await sealedBytes(
      await sealFor([recipient, await identityToRecipient(hybrid)]),
      Buffer.from('kept'),
    );
    for (const one of [identity, hybrid]) {
      expect((await openedBytes(await decrypterFor([one]), sealed)).toString()).toBe('kept');
      expect(await (await decrypterFor([one])).decrypt(sealed, 'text')).toBe('kept');
    }
    const other = await decrypterFor([await generateX25519Identity()]);
    await expect(openedBytes(other, sealed)).rejects.toThrow('no identity matched');
    await expect(openedBytes(new Decrypter(), sealed)).rejects.toThrow('no identity matched');
  });

  test('has a header that the library reads, for one and for several, whatever their keys', async () => {
    const identities = await Promise.all(Array.from({ length: 20 }, () => generateX25519Identity()));
    const recipients = await Promise.all(identities.map(identityToRecipient));
    const all = await sealedBytes(await sealFor(recipients), Buffer.from('kept'));
    for (const [at, one] of identities.entries()) {
      const decrypter = new Decrypter();
      decrypter.addIdentity(one);
      expect(await decrypter.decrypt(all, 'text')).toBe('kept');
      const alone = await sealedBytes(await sealFor([recipients[at]!]), Buffer.from('kept'));
      expect(await decrypter.decrypt(alone, 'text')).toBe('kept');
    }
  });

  test('is for no recipient with a letter changed, nor one whose secret everybody would know', async () => {
    const letters = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';
    const changed = Array.from({ length: recipient.length - 4 }, (_, at) => {
      const other = letters[(letters.indexOf(recipient[at + 4]!) + 7) % 32];
      return recipient.slice(0, at + 4) + other + recipient.slice(at + 5);
    });
    // Of 32 zero bytes, and of 31 bytes.
    const nothing = 'age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z';
    const short = 'age1pyysjzgfpyysjzgfpyysjzgfpyysjzgfpyysjzgfpyysjzgfpyyfw987';
    for (const bad of [...changed, nothing, short, recipient.toUpperCase(), `${recipient} `, 'age1', ''])
      await expect(sealFor([recipient, bad]), bad).rejects.toMatchObject({ code: 'recipient-invalid', input: bad });
  });

  test('has another key each time', async () => {
    const seal = await sealFor([recipient]);
    const [one, other] = await Promise.all([sealedBytes(seal, Buffer.from('x')), sealedBytes(seal, Buffer.from('x'))]);
    expect(one.equals(other)).toBe(false);
    for (const sealed of [one, other])
      expect((await openedBytes(await decrypterFor([identity]), sealed)).toString()).toBe('x');
  });

  test('that was changed, cut, reordered or added to is refused', async () => {
    const decrypter = await decrypterFor([identity]);
    const good = await sealedBytes(await sealFor([recipient]), randomBytes(3 * CHUNK));
    const sealedChunk = CHUNK + 16;
    const payload = good.length - 3 * sealedChunk;
    const chunk = (at: number) => good.subarray(payload + at * sealedChunk, payload + (at + 1) * sealedChunk);
    const head = good.subarray(0, payload);
    const bad: Record<string, Buffer> = {
      'without its last chunk': Buffer.concat([head, chunk(0), chunk(1)]),
      'without its middle': Buffer.concat([head, chunk(0), chunk(2)]),
      'in another order': Buffer.concat([head, chunk(1), chunk(0), chunk(2)]),
      'with a chunk twice': Buffer.concat([good, chunk(2)]),
      'with a byte more': Buffer.concat([good, Buffer.from('x')]),
      'with an empty chunk behind it': Buffer.concat([good, Buffer.alloc(16)]),
      'cut within a chunk': good.subarray(0, good.length - 100),
      'cut within a tag': good.subarray(0, payload + 5),
      'cut behind the header': head,
      'cut within the nonce': good.subarray(0, payload - 3),
      'cut within the header': good.subarray(0, 60),
      empty: Buffer.alloc(0),
      'with a header that does not end': Buffer.alloc(2 * 1024 * 1024, 'x'),
    };
    for (let at = 0; at < good.length; at += at < payload + 100 ? 1 : 9973) {
      const changed = Buffer.from(good);
      changed[at] = changed[at]! ^ 1;
      bad[`with byte ${at} changed`] = changed;
    }
    const opens: string[] = [];
    for (const [name, bytes] of Object.entries(bad)) {
      const text = await openedBytes(decrypter, bytes).then(
        () => 'opened',
        () => undefined,
      );
      if (text) opens.push(name);
    }
    expect(opens).toEqual([]);
    expect((await openedBytes(decrypter, good)).length).toBe(3 * CHUNK);
  });
});
