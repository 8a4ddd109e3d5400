import type { Permissions } from '../trust/index.ts';
import type { Contents } from './content/contents.ts';
import { type Finding, finding, printed } from './finding.ts';
import type { Package } from './tree.ts';

/** What was recorded of a server while it ran, within the time that is looked at. */
export interface Used {
  /** When anything was first recorded of it; undefined where nothing ever was. */
  readonly since: string | undefined;
  readonly starts: readonly { readonly at: string; readonly permissions: Permissions }[];
  /** When each `host:port` was last reached, and last refused. */
  readonly reached: ReadonlyMap<string, string>;
  readonly refused: ReadonlyMap<string, string>;
  /** Records that could not be read. */
  readonly unread: number;
}

/** What its callers asked of it, by a gateway's log. */
export interface Called {
  /** How often, by the name of a tool, prompt or resource. */
  readonly targets: ReadonlyMap<string, number>;
  readonly last: string;
}

/** What its code names, read without running it. */
export interface Needed {
  readonly variables: readonly string[];
  readonly hosts: readonly string[];
  /** Whether every variable that is read stands in the code by its name: undefined where it doesn't, and why. */
  readonly indirect: string | undefined;
}

export interface ReviewInput {
  readonly server: string;
  /** What it may do; where that is written down. */
  readonly permissions: Permissions;
  readonly from: string;
  readonly used: Used;
  readonly called: Called | undefined;
  /** Undefined where its archives were not at hand. */
  readonly needed: Needed | undefined;
  /** Names of its tools; undefined where nobody listed them. */
  readonly tools: readonly string[] | undefined;
  /** How many days are looked back. */
  readonly days: number;
  readonly now: Date;
}

export interface Review extends Omit<ReviewInput, 'now'> {
  readonly findings: readonly Finding[];
  /** What would have been enough; undefined where that is what it has. */
  readonly narrower: Permissions | undefined;
  /** What can't be told from here, one sentence each. */
  readonly unknown: readonly string[];
  readonly neverCalled: readonly string[];
}

/** Pure: what a server may do, did and needs; what it may and never did is named. Where nothing was seen, nothing is called unused. */
export function reviewPermissions({ now, ...input }: ReviewInput): Review {
  const { server, permissions, used, called, needed, tools, days } = input;
  const findings: Finding[] = [];
  const unknown: string[] = [];
  const unused = (message: string, evidence: readonly string[]) =>
    findings.push(finding('permission-unused', server, message, { evidence }));
  const neverCalled = called && tools ? tools.filter((name) => !called.targets.has(name)) : [];
  if (used.unread > 0) unknown.push(`${used.unread} records of it can’t be read`);
  if (used.starts.length === 0) {
    const grants = isNone(permissions) ? [] : describe(permissions);
    const known = used.since !== undefined && now.getTime() - Date.parse(used.since) >= days * 86_400_000;
    if (known && grants.length > 0) unused(`Was not started in ${days} days`, grants);
    else unknown.push('it was not seen running: what it needs can’t be told');
    const narrower =
      known && grants.length > 0 ? { network: 'none' as const, volumes: [], environment: [] } : undefined;
    return { ...input, findings, narrower, unknown, neverCalled };
  }
  const network = networkOf(permissions.network, used, unused, unknown, days);
  const environment = variablesOf(permissions.environment, needed, unused, unknown);
  if (permissions.volumes.length > 0) unknown.push('whether it used its volumes can’t be seen from outside');
  if (neverCalled.length > 0 && tools && neverCalled.length < tools.length) {
    unused(
      `Nobody called ${neverCalled.length} of its ${tools.length} tools`,
      neverCalled.map((name) => printed(name)),
    );
  }
  const narrower = { network, volumes: permissions.volumes, environment };
  const same = JSON.stringify(narrower) === JSON.stringify(plain(permissions));
  return { ...input, findings, narrower: same ? undefined : narrower, unknown, neverCalled };
}

function networkOf(
  network: Permissions['network'],
  { reached }: Used,
  unused: (message: string, evidence: readonly string[]) => void,
  unknown: string[],
  days: number,
): Permissions['network'] {
  if (network === 'none') return 'none';
  const seen = [...reached.keys()].sort();
  if (network === 'all') {
    if (seen.length === 0) {
      unknown.push('with network: all, what it reaches is not seen; --learn, or a list of destinations, shows it');
      return 'all';
    }
    unused('May reach everything, and was seen to reach less', seen);
    return seen;
  }
  const idle = network.filter((pattern) => !seen.some((one) => reaches(pattern, one)));
  if (idle.length > 0) unused(`Never reached ${idle.length} of ${network.length} destinations in ${days} days`, idle);
  const left = network.filter((pattern) => !idle.includes(pattern));
  // A pattern for many, of which few are used.
  const exact = left.flatMap((pattern) => {
    const under = seen.filter((one) => reaches(pattern, one));
    return pattern.startsWith('*.') && under.length <= 3 ? under : [pattern];
  });
  const wide = left.filter((pattern) => !exact.includes(pattern));
  if (wide.length > 0)
    unused('May reach more below a name than it did', [...wide, ...exact.filter((one) => !left.includes(one))]);
  const result = [...new Set(exact)];
  return result.length === 0 ? 'none' : result;
}

/** `*.example.com:443` is every name below, not the name itself. */
function reaches(pattern: string, destination: string): boolean {
  return pattern.startsWith('*.') ? destination.endsWith(pattern.slice(1)) : destination === pattern;
}

function variablesOf(
  names: readonly string[],
  needed: Needed | undefined,
  unused: (message: string, evidence: readonly string[]) => void,
  unknown: string[],
): readonly string[] {
  if (names.length === 0) return names;
  if (!needed) {
    unknown.push('its archives were not read: which variables it needs can’t be told');
    return names;
  }
  if (needed.indirect !== undefined) {
    unknown.push(`which variables it reads can’t be told: ${needed.indirect}`);
    return names;
  }
  const idle = names.filter((name) => !needed.variables.includes(name) && !STANDARD.has(name));
  if (idle.length > 0) unused('Is given variables that no code of it names', idle);
  return names.filter((name) => !idle.includes(name));
}

/** Read by runtimes and libraries, not by a server's own code. */
const STANDARD: ReadonlySet<string> = new Set(
  'TZ LANG LC_ALL HOME PATH TERM NO_COLOR FORCE_COLOR NODE_ENV NODE_OPTIONS NODE_EXTRA_CA_CERTS PYTHONPATH SSL_CERT_FILE HTTP_PROXY HTTPS_PROXY NO_PROXY DEBUG'.split(
    ' ',
  ),
);

/** Packages that read variables by names they put together. */
const INDIRECT: ReadonlySet<string> = new Set([
  ...['pypi:pydantic-settings', 'pypi:dynaconf', 'pypi:python-decouple', 'pypi:environs', 'pypi:starlette-settings'],
  ...['npm:convict', 'npm:rc', 'npm:nconf', 'npm:config', 'npm:env-schema', 'npm:envalid'],
]);

/** Pure: what the code of a tree names. @param contents by `fileKey` @returns undefined where an archive wasn't read */
export function neededBy(
  packages: readonly Package[],
  contents: ReadonlyMap<string, Contents>,
  asked: readonly string[] = [],
): Needed | undefined {
  const own = packages.filter(({ base, kind }) => !base && kind !== 'deb');
  const read = own.flatMap(({ files }) => files.map(({ integrity }) => contents.get(integrity)));
  if (read.some((one) => one === undefined || one.stopped !== undefined)) return undefined;
  const through = own.find(({ ref }) => INDIRECT.has(ref.slice(0, ref.lastIndexOf('@'))));
  const server = own
    .filter((one) => one.server)
    .flatMap(({ files }) => files.map(({ integrity }) => contents.get(integrity)));
  return {
    variables: [...new Set([...asked, ...read.flatMap((one) => one?.environment ?? [])])].sort(),
    hosts: [...new Set(server.flatMap((one) => one?.hosts ?? []))].sort(),
    indirect: through ? `${printed(through.ref)} puts their names together` : undefined,
  };
}

function isNone({ network, volumes, environment }: Permissions): boolean {
  return network === 'none' && volumes.length === 0 && environment.length === 0;
}

function plain({ network, volumes, environment }: Permissions): Permissions {
  return { network, volumes, environment };
}

/** One line each. */
export function describe({ network, volumes, environment }: Permissions): readonly string[] {
  return [
    ...(network === 'none' ? [] : [`network: ${network === 'all' ? 'all' : network.join(', ')}`]),
    ...volumes.map(({ path, mode }) => `volume ${path} (${mode})`),
    ...(environment.length > 0 ? [`variables: ${environment.join(', ')}`] : []),
  ];
}
