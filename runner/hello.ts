/**
 * The host name in a TLS ClientHello (RFC 8446, section 4.1.2; RFC 6066, section 3), without taking part in the handshake.
 * `more` while the record isn't whole; undefined for what is no ClientHello, or one without a name.
 */
export function serverName(bytes: Uint8Array): string | undefined | 'more' {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.length > 0 && view[0] !== 0x16) return undefined;
  if (view.length < 5) return 'more';
  const length = view.readUInt16BE(3);
  if (length > 16_384) return undefined;
  if (view.length < 5 + length) return 'more';
  try {
    return nameIn(view.subarray(5, 5 + length));
  } catch {
    // A length that leads past the end.
    return undefined;
  }
}

function nameIn(hello: Buffer): string | undefined {
  if (hello[0] !== 0x01) return undefined;
  // Type, length, version, random.
  let at = 4 + 2 + 32;
  at += 1 + hello.readUInt8(at);
  at += 2 + hello.readUInt16BE(at);
  at += 1 + hello.readUInt8(at);
  const end = at + 2 + hello.readUInt16BE(at);
  at += 2;
  while (at + 4 <= end) {
    const [type, length] = [hello.readUInt16BE(at), hello.readUInt16BE(at + 2)];
    at += 4;
    if (type === 0) {
      // One list with one name of type 0 is all that is ever sent.
      if (hello.readUInt8(at + 2) !== 0) return undefined;
      const size = hello.readUInt16BE(at + 3);
      return hello.subarray(at + 5, at + 5 + size).toString('latin1');
    }
    at += length;
  }
  return undefined;
}
