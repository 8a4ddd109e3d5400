import { Option } from 'commander';

/** How a registry is reached, said the same way to every command that may ask one. */
export interface RegistryFlags {
  readonly plainHttp?: boolean;
  readonly certs?: string;
  readonly json?: boolean;
}

export function plainHttpOption(): Option {
  return new Option('--plain-http', 'speak plain HTTP with a registry that is not on this machine');
}

export function certificatesOption(): Option {
  return new Option('--certs <folder>', 'folder of <host[:port]>/ with *.crt, *.cert and *.key, as Docker’s certs.d');
}

export function registryOptions({ plainHttp, certs }: RegistryFlags) {
  return { ...(plainHttp ? { plainHttp } : {}), ...(certs === undefined ? {} : { certificates: certs }) };
}
