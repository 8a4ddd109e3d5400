import { setImmediate } from 'node:timers/promises';
import { zstdCompressSync } from 'node:zlib';
import { inMemory, readDeb, readTar, readTarGz, readZip, unpackXz } from '../../../builders/archive/index.ts';
import { isFault } from '../../../errors/index.ts';
import { ar, cut, deb, pax, tar, tarGz, tarMember, zip, zipDescriptor, zipExtra } from '../../fakes/archives.ts';
import { bytesOf, readAll } from './read.ts';

/** Small limits, so that a mutated size can't make a run long without the parser being at fault. */
const limits = { bytes: 32 * 1024 * 1024, fileBytes: 16 * 1024 * 1024, files: 1000 };
const options = { name: 'fuzzed', limits };

/** Numbers that repeat for a seed: a failure names its seed and can be run again. */
export type Random = (below: number) => number;

export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) % below;
  };
}

export interface Target {
  readonly seeds: readonly Buffer[];
  /** Reads bytes as the parser under test would get them. */
  parse(bytes: Buffer, random: Random): Promise<unknown>;
  /** Makes mutated bytes pass the first check, so that what lies behind it is reached as well. */
  mend?(bytes: Buffer): void;
}

const sizes = (random: Random) => [1 + random(2000), 1 + random(60)];
const members = [
  tarMember({ name: 'package/', flag: '5', mode: '0000755' }),
  pax({ path: 'package/ä', mtime: '1.5' }),
  tarMember({ name: 'package/a' }, 'content'),
  tarMember({ name: 'long', flag: 'L', magic: 'ustar  \0' }, `${'package/long/'.repeat(12)}name\0`),
  tarMember({ name: 'package/b', mode: '0000755' }, Buffer.alloc(1500, 'b')),
  tarMember({ name: 'package/link', flag: '2', linkname: 'b' }),
  tarMember({ name: 'package/hard', flag: '1', linkname: 'package/ä' }),
];
const text = 'text of a member, text of a member';
const archive = tar(...members);
/** A tar of one file `./a`, as xz(1) packs it. */
const xz = Buffer.from(
  '/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4Af/AENdABcLyKEF4XBklONRMjKON6veW5aySulEn8pT9b0cqIsJEt43s5kcFMVUqjDl+diY2tsQmA+p9sGPmSeKsOUCw9477AAAABeEbleL/vAUAAFfgBAAAADyiXLfscRn+wIAAAAABFla',
  'base64',
);
const debs = [
  deb({ control: 'Package: a\n' }, archive),
  ar([
    { name: 'debian-binary', content: '2.0\n' },
    { name: 'control.tar', content: tar(tarMember({ name: './control' }, 'Package: a\n')) },
    { name: 'data.tar.zst', content: zstdCompressSync(archive) },
  ]),
  ar([
    { name: 'debian-binary', content: '2.0\n' },
    { name: 'control.tar', content: tar(tarMember({ name: './control' }, 'Package: a\n')) },
    { name: 'data.tar.xz', content: xz },
  ]),
];
const packed = zip([{ name: 'x', content: text }]).readUInt32LE(18);

/** One for each parser. */
export const TARGETS: Readonly<Record<string, Target>> = {
  tar: {
    seeds: [archive],
    parse: (bytes, random) => readAll(readTar(cut(bytes, sizes(random)), options)),
    mend: mendChecksums,
  },
  gzip: {
    seeds: [tarGz(...members), Buffer.concat([tarGz(...members), Buffer.alloc(20)])],
    parse: (bytes, random) => readAll(readTarGz(cut(bytes, sizes(random)), options)),
  },
  zip: {
    seeds: [
      zip([
        { name: 'd/', method: 0, unixMode: 0o40755 },
        { name: 'd/a', content: text },
        { name: 'b', content: text, method: 0 },
      ]),
      zip([{ name: 'a', content: text, flags: 8, local: { crc: 0 }, behind: zipDescriptor(text, packed) }], {
        zip64: true,
      }),
      zip([{ name: 'ä', content: text, flags: 0x800, extra: zipExtra(0x5455, Buffer.alloc(5)) }], {
        comment: Buffer.from('c'),
      }),
    ],
    parse: (bytes) => readAll(readZip(inMemory(bytes), options)),
  },
  deb: {
    seeds: debs,
    parse: async (bytes, random) => readAll((await readDeb(cut(bytes, sizes(random)), options)).data),
  },
  xz: {
    seeds: [xz, Buffer.concat([xz, xz])],
    parse: (bytes, random) => bytesOf(unpackXz(cut(bytes, sizes(random)), options)),
  },
};

const EDGES = [0, 1, 0x7f, 0x80, 0xff, 0x2e, 0x2f, 0x5c, 0x30, 0x37, 0x78, 0x67, 0x4c, 0x53];

/** A few changes of the kinds that break parsers: bits, edge values, runs moved, doubled, left out, cut off. */
export function mutate(seed: Buffer, random: Random): Buffer {
  let bytes = Buffer.from(seed);
  for (let changes = 1 + random(4); changes > 0 && bytes.length > 0; changes--) {
    const at = random(bytes.length);
    const length = 1 + random(Math.min(bytes.length - at, random(2) ? 8 : 600));
    switch (random(8)) {
      case 0:
        bytes[at] = (bytes[at] as number) ^ (1 << random(8));
        break;
      case 1:
        bytes[at] = EDGES[random(EDGES.length)] as number;
        break;
      case 2:
        bytes.fill(EDGES[random(EDGES.length)] as number, at, at + length);
        break;
      case 3:
        bytes.copy(bytes, random(bytes.length), at, at + length);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
        break;
      case 5:
        bytes = Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
        break;
      case 6:
        bytes = random(4) === 0 ? bytes.subarray(0, at) : bytes;
        break;
      default:
        if (at + 4 <= bytes.length) bytes.writeUInt32LE(random(2) ? 0xffffffff : random(bytes.length * 2), at);
    }
  }
  return bytes;
}

/** Rights the checksum of every block that looks like a header. */
function mendChecksums(bytes: Buffer): void {
  for (let at = 0; at + 512 <= bytes.length; at += 512) {
    const block = bytes.subarray(at, at + 512);
    if (block.toString('latin1', 257, 262) !== 'ustar') continue;
    block.fill(0x20, 148, 156);
    block.write(
      `${block
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
      148,
    );
  }
}

/** A parser may take longer on a busy machine, and never this long for a few kilobytes. In milliseconds. */
const TOO_LONG = 20_000;

/**
 * Gives one mutated input to a parser. @returns `ok` or the code of its refusal; throws for any other error, for what takes too
 * long, and names the seed
 */
export async function fuzzOnce(name: string, seed: number): Promise<string> {
  const target = TARGETS[name] as Target;
  const random = randomFrom(seed);
  const bytes = mutate(target.seeds[random(target.seeds.length)] as Buffer, random);
  if (target.mend && random(4) > 0) target.mend(bytes);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${name}, seed ${seed}: took too long`)), TOO_LONG);
  });
  try {
    await Promise.race([target.parse(bytes, random), late]);
    return 'ok';
  } catch (error) {
    if (isFault(error)) return error.code;
    throw new Error(`${name}, seed ${seed}: ${error}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

/** Runs until `enough` says so. @returns how often each outcome was met */
export async function fuzz(
  name: string,
  seed: number,
  enough: (runs: number) => boolean,
): Promise<Map<string, number>> {
  const outcomes = new Map<string, number>();
  for (let runs = 0; !enough(runs); runs++) {
    const outcome = await fuzzOnce(name, seed + runs);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    // What zlib has allocated is given back in a turn of the event loop, of which parsing bytes in memory may need none.
    if (runs % 100 === 0) await setImmediate();
  }
  return outcomes;
}
