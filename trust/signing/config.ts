import { z } from 'zod';
import { McpBuildError } from '../../errors/index.ts';

/** Which services a keyless signature is made with. */
export interface SigningServices {
  readonly certificateAuthority: string;
  readonly logs: readonly Service[];
  readonly timestampAuthorities: readonly Service[];
}

export interface Service {
  readonly url: string;
  readonly version: number;
}

const instant = z.iso.datetime({ offset: true });
const service = z.looseObject({
  url: z.url({ protocol: /^https?$/ }).max(1000),
  majorApiVersion: z.int().default(0),
  validFor: z.looseObject({ start: instant.optional(), end: instant.optional() }).optional(),
  operator: z.string().max(1000).default(''),
});
const choice = z.looseObject({
  selector: z.enum(['ANY', 'ALL', 'EXACT']).optional(),
  count: z.int().min(0).max(10).default(0),
});
const schema = z.looseObject({
  mediaType: z.literal('application/vnd.dev.sigstore.signingconfig.v0.2+json'),
  caUrls: z.array(service).max(100).default([]),
  rekorTlogUrls: z.array(service).max(100).default([]),
  rekorTlogConfig: choice.default({ count: 0 }),
  tsaUrls: z.array(service).max(100).default([]),
  tsaConfig: choice.default({ count: 0 }),
});

type ServiceText = z.infer<typeof service>;

/**
 * Chooses services from a signing configuration, as `cosign signing-config create` writes it (protobuf-specs, SigningConfig v0.2).
 * @param name for errors. @throws McpBuildError `signing-config-invalid`
 */
export function parseSigningConfig(text: string, name: string, now: Date): SigningServices {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw invalid(name, 'is not JSON');
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw invalid(name, `at ${issue?.path.join('.') || 'its root'}: ${issue?.message ?? 'does not fit'}`);
  }
  const { caUrls, rekorTlogUrls, rekorTlogConfig, tsaUrls, tsaConfig } = parsed.data;
  const [authority] = usable(caUrls, [1], now);
  if (!authority) throw invalid(name, 'names no certificate authority that is valid now');
  return {
    certificateAuthority: base(authority.url),
    logs: choose(usable(rekorTlogUrls, [2, 1], now), rekorTlogConfig, 'log', name),
    timestampAuthorities: choose(usable(tsaUrls, [1], now), tsaConfig, 'timestamp authority', name),
  };
}

/** Newest version first, then the one that began last. */
function usable(services: readonly ServiceText[], versions: readonly number[], now: Date): readonly ServiceText[] {
  const start = ({ validFor }: ServiceText) => (validFor?.start ? Date.parse(validFor.start) : 0);
  return services
    .filter(({ majorApiVersion, validFor }) => {
      const begun = !validFor?.start || Date.parse(validFor.start) <= now.getTime();
      const open = !validFor?.end || Date.parse(validFor.end) >= now.getTime();
      return versions.includes(majorApiVersion) && begun && open;
    })
    .toSorted((a, b) => b.majorApiVersion - a.majorApiVersion || start(b) - start(a));
}

function choose(
  services: readonly ServiceText[],
  { selector, count }: z.infer<typeof choice>,
  what: string,
  name: string,
): readonly Service[] {
  if (selector === undefined) return [];
  // Two services of one operator are one witness.
  const byOperator = new Map<string, ServiceText>();
  for (const one of services) {
    const key = one.operator || one.url;
    if (!byOperator.has(key)) byOperator.set(key, one);
  }
  const distinct = [...byOperator.values()];
  const wanted = selector === 'ANY' ? 1 : selector === 'EXACT' ? count : distinct.length;
  if (distinct.length < Math.max(1, wanted)) {
    throw invalid(name, `asks for ${Math.max(1, wanted)} of its ${what} services, and ${distinct.length} can be used`);
  }
  return distinct.slice(0, wanted).map(({ url, majorApiVersion }) => ({ url: base(url), version: majorApiVersion }));
}

function base(url: string): string {
  return url.replace(/\/+$/, '');
}

function invalid(input: string, reason: string): McpBuildError {
  return new McpBuildError({
    code: 'signing-config-invalid',
    message: `Signing configuration ${input} ${reason}`,
    input,
    fix: 'Name one that `cosign signing-config create` has written.',
    exit: 2,
  });
}
