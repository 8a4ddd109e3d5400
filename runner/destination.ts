import { BlockList, isIP } from 'node:net';
import { domainToASCII } from 'node:url';

/** Addresses that are nobody's on the internet: this machine, the networks around it, the metadata service of a cloud (IANA's special-purpose registries). */
const INTERNAL = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const) {
  INTERNAL.addSubnet(network, prefix, 'ipv4');
}
/** Of IPv6 only what is given out as global unicast, without the parts that carry an IPv4 address or belong to nobody. */
const GLOBAL6 = new BlockList();
GLOBAL6.addSubnet('2000::', 3, 'ipv6');
const INTERNAL6 = new BlockList();
for (const [network, prefix] of [
  // Teredo, benchmarks, ORCHID and the like; documentation; 6to4; SRv6.
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
  ['5f00::', 16],
] as const) {
  INTERNAL6.addSubnet(network, prefix, 'ipv6');
}
/** Some clouds give their metadata service an address that looks like any other. */
const METADATA = new Set(['168.63.129.16', '100.100.100.200']);

/** Whether an address is one of the internet, rather than of this machine or the networks it is in. */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !INTERNAL.check(address, 'ipv4') && !METADATA.has(address);
    case 6:
      // Mapped and translated IPv4 addresses (::ffff:0:0/96, 64:ff9b::/96) are outside 2000::/3, and so is everything local.
      return !address.includes('%') && GLOBAL6.check(address, 'ipv6') && !INTERNAL6.check(address, 'ipv6');
    default:
      return false;
  }
}

/**
 * A host name as it is compared: ASCII, lower case, without a final dot. Undefined for what is no name of a host, which includes every way to
 * write an address (`127.1`, `0x7f000001`, `[::1]`).
 */
export function hostName(text: string): string | undefined {
  // domainToASCII reads as a URL does: it drops line ends, and stops at a slash.
  if (text.length === 0 || text.length > 253 || /[\p{Cc}\p{Z}/\\?#@:%<>[\]^`{|}]/u.test(text)) return undefined;
  const ascii = domainToASCII(text.replace(/\.$/, '')).toLowerCase();
  if (!/^(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/.test(ascii)) return undefined;
  // domainToASCII has already turned odd spellings of addresses into plain ones.
  if (isIP(ascii) || /^[0-9.]+$/.test(ascii) || /(?:^|\.)(?:0x[0-9a-f]*|[0-9]+)$/.test(ascii)) return undefined;
  return ascii;
}

/** Whether `host:port` is among the permitted ones. `*.example.test` is every name below, and not `example.test` itself. */
export function permitted(destinations: readonly string[], host: string, port: number): boolean {
  return destinations.some((destination) => {
    const colon = destination.lastIndexOf(':');
    if (Number(destination.slice(colon + 1)) !== port) return false;
    const name = destination.slice(0, colon);
    return name.startsWith('*.') ? host.endsWith(name.slice(1)) && host.length > name.length - 1 : host === name;
  });
}
