import {
  type Explained,
  explainSession,
  formatEndpoint,
  type Permissions,
  type SessionOptions,
} from '../../runner/index.ts';
import { beyond, type DriftPolicy } from '../../trust/index.ts';
import type { Verified } from './start.ts';

/** One thing that a server would be given, and who says so. */
export interface Grant {
  readonly what: string;
  /** The flag that asks for it; `default` where none does. */
  readonly from: string;
  /** Whether its signed statement declares it; absent where there is none. */
  readonly signed?: boolean;
  /** Whether the policy in force allows it; absent where it doesn't judge permissions. */
  readonly policy?: boolean;
}

export interface Explanation extends Explained {
  readonly image: string;
  readonly server: { readonly name: string; readonly version?: string; readonly source?: string };
  readonly verdict: { readonly policy: string; readonly rule?: string };
  readonly permissions: readonly Grant[];
  /** What it was signed to offer, by number, and what follows when it offers something else. Absent where that was not signed. */
  readonly offer?: { readonly signed: Readonly<Record<string, number>>; readonly onDrift: DriftPolicy };
}

/** What `run` would do, with nothing started. @throws McpBuildError what `run` would refuse before it starts anything */
export async function explainRun(verified: Verified, session: SessionOptions): Promise<Explanation> {
  const { grounds, pins } = verified;
  const explained = await explainSession(session);
  const source = grounds?.server?.source;
  return {
    image: verified.image.digest,
    server: {
      ...verified.server,
      ...(source ? { source: `${source.ecosystem}:${source.name}@${source.version}` } : {}),
    },
    verdict: { policy: grounds?.policy ?? '', ...(grounds?.rule === undefined ? {} : { rule: grounds.rule }) },
    permissions: grantsOf(session, verified),
    ...(pins
      ? {
          offer: {
            signed: Object.fromEntries(Object.entries(pins.lists).map(([kind, list]) => [kind, list.size])),
            onDrift: pins.onDrift,
          },
        }
      : {}),
    ...explained,
  };
}

const NONE: Permissions = { network: 'none', volumes: [], environment: [] };

function grantsOf(session: SessionOptions, { grounds }: Verified): readonly Grant[] {
  const { network, volumes, environment } = session.permissions;
  const grant = (what: string, from: string, only: Partial<Permissions>): Grant => {
    const asked = { ...NONE, ...only };
    const within = (widest: Permissions | undefined) => (widest ? beyond(asked, widest).length === 0 : undefined);
    const signed = within(grounds?.server?.permissions);
    const policy = within(grounds?.widest);
    return { what, from, ...(signed === undefined ? {} : { signed }), ...(policy === undefined ? {} : { policy }) };
  };
  const destinations = typeof network === 'string' ? [network] : network;
  return [
    ...(session.learn
      ? [grant('network: the internet, to learn', '--learn', { network: 'all' })]
      : network === 'none'
        ? [grant('network: none', 'default', {})]
        : destinations.map((one) =>
            grant(`network: ${one}`, '--allow-net', { network: one === 'all' ? 'all' : [one] }),
          )),
    ...volumes.map((one) => grant(`volume: ${one.path} ${one.mode}`, '--volume', { volumes: [one] })),
    ...environment.map((name) => grant(`variable: ${name}`, '--env or --secret', { environment: [name] })),
    ...(session.files ?? []).map(({ target }) => ({ what: `file: ${target}`, from: '--config' })),
  ];
}

/** For people, on one screen. */
export function formatExplanation(it: Explanation): string {
  const row = (name: string, text: string) => `  ${name.padEnd(20)}${text}`;
  const { server, verdict, offer, daemon, lacks } = it;
  const source = server.source ? ` (signed as ${server.source})` : '';
  const answers = (value: boolean | undefined, yes: string, no: string) =>
    value === undefined ? [] : [value ? yes : no];
  return [
    `${server.name}${source}`,
    row('image', it.image),
    row('verified by', verdict.rule ? `"${verdict.rule}" of ${verdict.policy}` : verdict.policy),
    row('started', 'nothing: this only says what would be'),
    '',
    'Walls',
    ...it.walls.map(({ wall, setting }) => row(wall, setting)),
    '',
    'Permissions',
    ...it.permissions.map(({ what, from, signed, policy }) => {
      const says = [
        `by ${from}`,
        ...answers(signed, 'declared and signed', 'not in the signed declaration'),
        ...answers(policy, 'allowed by policy', 'REFUSED by policy'),
      ];
      return `  ${what}  (${says.join('; ')})`;
    }),
    ...it.notes.map((note) => `  ${note}`),
    '',
    'Offer',
    ...(offer
      ? [
          row(
            'signed',
            Object.entries(offer.signed)
              .map(([kind, count]) => `${kind} ${count}`)
              .join(', '),
          ),
          row(
            'when it differs',
            Object.entries(offer.onDrift)
              .map(([kind, what]) => `${kind}: ${what}`)
              .join(', '),
          ),
        ]
      : ['  not signed, so not compared: nobody has tested and attested this image']),
    '',
    `Daemon  ${formatEndpoint(daemon.address)}, ${daemon.version}`,
    ...(lacks.length > 0
      ? lacks.map(({ id, detail, refused }) => `  ${refused ? '✗' : '!'} ${id}: ${detail}`)
      : ['  can do all of this']),
  ].join('\n');
}
