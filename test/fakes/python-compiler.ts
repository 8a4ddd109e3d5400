import { readSync, writeSync } from 'node:fs';

/**
 * Speaks the driver's side of the pipe, badly where the path asks for it: `node python-compiler.ts <tag>`, then whatever words follow.
 * Its byte-code is the care, the path and the source.
 */
const tag = process.argv[2] ?? '';
const send = (bytes: Uint8Array) => {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(bytes.length);
  writeSync(1, Buffer.concat([head, bytes]));
};

/** Fewer bytes at the end of the input. */
const read = (length: number): Buffer => {
  const bytes = Buffer.alloc(length);
  let at = 0;
  while (at < length) {
    const count = readSync(0, bytes, at, length - at, null);
    if (count === 0) break;
    at += count;
  }
  return bytes.subarray(0, at);
};

if (tag === 'silent') setInterval(() => undefined, 1000);
else {
  send(Buffer.from(tag));
  for (let head = read(9); head.length === 9; head = read(9)) {
    const path = read(head.readUInt32BE(1)).toString();
    const source = read(head.readUInt32BE(5));
    if (path.endsWith('crash.py')) process.kill(process.pid, 'SIGSEGV');
    else if (path.endsWith('hang.py')) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    else if (path.endsWith('long.py')) writeSync(1, Buffer.from([0x7f, 0xff, 0xff, 0xff]));
    else if (path.endsWith('cut.py')) {
      writeSync(1, Buffer.from([0, 0, 0, 9, 1]));
      break;
    } else if (path.endsWith('none.py')) send(new Uint8Array(0));
    else send(Buffer.concat([Buffer.from(`${head[0]} ${path} `), source]));
  }
}
