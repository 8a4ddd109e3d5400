import type { Platform } from '../platform.ts';

const MACHINES: Readonly<Record<Platform, number>> = { 'linux/amd64': 62, 'linux/arm64': 183 };

const [PT_LOAD, PT_DYNAMIC] = [1, 2];
const [DT_NULL, DT_STRTAB, DT_SONAME] = [0n, 5n, 14n];

/**
 * The name under which programs ask for a shared library (DT_SONAME), or undefined for what is no shared library of the platform or has
 * no such name. Reads only 64-bit little-endian ELF (elf(5)), which both platforms are; every offset in the file is checked, as a
 * package could hold anything under a library's name.
 */
export function sonameOf(bytes: Uint8Array, platform: Platform): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fits = (at: number, length: number) => at >= 0 && Number.isSafeInteger(at) && at + length <= bytes.length;
  if (!fits(0, 64) || view.getUint32(0) !== 0x7f454c46 || view.getUint8(4) !== 2 || view.getUint8(5) !== 1)
    return undefined;
  if (view.getUint16(16, true) !== 3 || view.getUint16(18, true) !== MACHINES[platform]) return undefined;
  const table = Number(view.getBigUint64(32, true));
  const size = view.getUint16(54, true);
  const count = view.getUint16(56, true);
  if (size < 56 || !fits(table, size * count)) return undefined;

  const loads: { address: bigint; offset: number; length: bigint }[] = [];
  let dynamic: { offset: number; length: number } | undefined;
  for (let index = 0; index < count; index++) {
    const at = table + index * size;
    const type = view.getUint32(at, true);
    const offset = Number(view.getBigUint64(at + 8, true));
    const length = view.getBigUint64(at + 32, true);
    if (type === PT_LOAD) loads.push({ address: view.getBigUint64(at + 16, true), offset, length });
    if (type === PT_DYNAMIC) dynamic = { offset, length: Number(length) };
  }
  if (!dynamic || !fits(dynamic.offset, dynamic.length)) return undefined;

  let strings: bigint | undefined;
  let soname: bigint | undefined;
  for (let at = dynamic.offset; at + 16 <= dynamic.offset + dynamic.length; at += 16) {
    const tag = view.getBigUint64(at, true);
    if (tag === DT_NULL) break;
    if (tag === DT_STRTAB) strings = view.getBigUint64(at + 8, true);
    if (tag === DT_SONAME) soname = view.getBigUint64(at + 8, true);
  }
  if (strings === undefined || soname === undefined) return undefined;
  const address = strings + soname;
  const load = loads.find((one) => address >= one.address && address < one.address + one.length);
  if (!load) return undefined;
  const start = load.offset + Number(address - load.address);
  if (!fits(start, 1)) return undefined;
  const end = bytes.indexOf(0, start);
  const text = Buffer.from(bytes.subarray(start, end)).toString('latin1');
  return end > start && /^[A-Za-z0-9._+-]{1,255}$/.test(text) ? text : undefined;
}
