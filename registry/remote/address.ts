import { type LookupAddress, lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { addressRefused } from './fault.ts';

const inside = new BlockList();
for (const [net, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
] as const) {
  inside.addSubnet(net, bits, 'ipv4');
}
for (const [net, bits] of [
  ['::', 127],
  ['64:ff9b:1::', 48],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const) {
  inside.addSubnet(net, bits, 'ipv6');
}

/** Whether an IP address belongs to this machine or a private network (RFC 6890). */
export function isPrivateAddress(ip: string): boolean {
  const bare = ip.split('%', 1)[0]!;
  // NAT64 wraps an IPv4 address in its last 32 bits.
  const wrapped = /^64:ff9b::([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(bare);
  if (wrapped) {
    const [high, low] = [Number.parseInt(wrapped[1]!, 16), Number.parseInt(wrapped[2]!, 16)];
    return inside.check(`${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`, 'ipv4');
  }
  return inside.check(bare, isIP(bare) === 6 ? 'ipv6' : 'ipv4');
}

/** The host of a URL without IPv6's brackets. */
export function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

/** A name or address that can only be this machine. */
export function isLoopback(url: URL): boolean {
  const host = bareHost(url);
  if (host === 'localhost' || host.endsWith('.localhost')) return true;
  return isIP(host) === 4 ? host.startsWith('127.') : host === '::1';
}

/** Whether every address of a host is private: such a registry may well name other hosts of its network. */
export async function isPrivateHost(url: URL): Promise<boolean> {
  const host = bareHost(url);
  if (isLoopback(url)) return true;
  if (isIP(host)) return isPrivateAddress(host);
  const addresses = await new Promise<readonly LookupAddress[]>((resolve) => {
    lookup(host, { all: true }, (error, found) => resolve(error ? [] : found));
  });
  return addresses.length > 0 && addresses.every(({ address }) => isPrivateAddress(address));
}

/** Refuses private addresses at the moment of connecting, where no second answer of the name server can come between. */
export function publicOnly(registry: string): LookupFunction {
  return (host, options, callback) => {
    lookup(host, { ...options, all: true }, (error, found) => {
      if (error) return callback(error, '', 0);
      if (found.some(({ address }) => isPrivateAddress(address)))
        return callback(addressRefused(host, registry), '', 0);
      if (options.all) return callback(null, found);
      callback(null, found[0]?.address ?? '', found[0]?.family);
    });
  };
}
