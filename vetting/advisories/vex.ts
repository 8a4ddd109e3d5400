import { z } from 'zod';
import { McpBuildError } from '../../errors/index.ts';
import type { Finding } from '../finding.ts';

/** OpenVEX 0.2.0: https://github.com/openvex/spec */
const CONTEXT = 'https://openvex.dev/ns/v0.2.0';

const component = z.object({ '@id': z.string().max(2000) });
const schema = z.object({
  '@context': z.string().startsWith('https://openvex.dev/ns'),
  '@id': z.string().max(2000),
  author: z.string().max(2000),
  timestamp: z.string().max(100),
  statements: z
    .array(
      z.object({
        vulnerability: z.union([
          z.string().max(300),
          z.object({ name: z.string().max(300), aliases: z.array(z.string().max(300)).max(100).default([]) }),
        ]),
        products: z.array(component.extend({ subcomponents: z.array(component).max(10_000).optional() })).max(10_000),
        status: z.enum(['not_affected', 'affected', 'fixed', 'under_investigation']),
        justification: z.string().max(300).optional(),
        impact_statement: z.string().max(5000).optional(),
      }),
    )
    .max(100_000),
});

export interface Vex {
  readonly author: string;
  readonly statements: readonly {
    readonly names: readonly string[];
    /** Package URLs; a subcomponent's where the product names some. */
    readonly products: readonly string[];
    readonly harmless: boolean;
    readonly why: string;
  }[];
}

/** @throws McpBuildError `vex-invalid` */
export function parseVex(text: string, name: string): Vex {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new McpBuildError({
      code: 'vex-invalid',
      message: `${name} is not an OpenVEX document: at ${issue?.path.join('.') || 'its root'}: ${issue?.message ?? 'does not fit'}`,
      input: name,
      fix: 'Name a document of OpenVEX 0.2.0.',
      exit: 2,
    });
  }
  return {
    author: parsed.data.author,
    statements: parsed.data.statements.map(({ vulnerability, products, status, justification, impact_statement }) => ({
      names: typeof vulnerability === 'string' ? [vulnerability] : [vulnerability.name, ...vulnerability.aliases],
      products: products.flatMap((product) => product.subcomponents?.map((one) => one['@id']) ?? [product['@id']]),
      // The specification asks for a reason; without one a statement is only an opinion.
      harmless: (status === 'not_affected' && (justification ?? impact_statement) !== undefined) || status === 'fixed',
      why: [status, justification, impact_statement].filter((word) => word !== undefined).join(': '),
    })),
  };
}

/** Findings that a VEX document speaks about, with what it says; harmless ones become facts. Malware is never excused by one. */
export function applyVex(findings: readonly Finding[], documents: readonly Vex[]): readonly Finding[] {
  return findings.map((found) => {
    if (found.code !== 'known-vulnerable') return found;
    const names = [found.id, ...(found.aliases ?? [])];
    for (const { author, statements } of documents) {
      // The last statement about a pair counts.
      const said = statements.findLast(
        (one) =>
          one.names.some((name) => names.includes(name)) && one.products.some((purl) => isPurlOf(purl, found.subject)),
      );
      if (!said) continue;
      const evidence = [...found.evidence, `VEX of ${author}: ${said.why}`];
      return said.harmless ? { ...found, severity: 'none', evidence } : { ...found, evidence };
    }
    return found;
  });
}

/** `pkg:npm/%40scope/name@1.0.0` is about `npm:@scope/name@1.0.0`; without a version, about all of them. */
function isPurlOf(purl: string, subject: string): boolean {
  return (
    purl === purlOfSubject(subject) ||
    purl === purlOfSubject(subject).replace(/@[^@]*$/, '') ||
    plain(purl) === plain(purlOfSubject(subject))
  );
}

/** Whatever somebody wrote: escapes that stand for no text are left as they are, and are then about no package. */
function plain(purl: string): string {
  const text = purl.replace(/[?#].*$/, '');
  try {
    return decodeURIComponent(text).toLowerCase();
  } catch {
    return text.toLowerCase();
  }
}

export function purlOfSubject(subject: string): string {
  const [, kind = '', name = '', version = ''] = /^([a-z]+):(.+)@([^@]*)$/.exec(subject) ?? [];
  const path = name.split('/').map(encodeURIComponent).join('/');
  return `pkg:${kind === 'deb' ? 'deb/debian' : kind}/${path}@${encodeURIComponent(version)}`;
}

/** What was found and what the policy says of it, for whoever scans the image with another tool. */
export function formatVex(
  findings: readonly Finding[],
  about: { readonly id: string; readonly author: string; readonly product: string; readonly now: Date },
): string {
  const statements = findings
    .filter(({ code }) => code === 'known-vulnerable')
    .map(({ id, aliases, subject, excepted, remedy, severity, evidence }) => {
      const said = evidence.find((line) => line.startsWith('VEX of '));
      return {
        vulnerability: { name: id ?? 'unknown', ...(aliases?.length ? { aliases } : {}) },
        products: [{ '@id': about.product, subcomponents: [{ '@id': purlOfSubject(subject) }] }],
        ...(severity === 'none' && said
          ? { status: 'not_affected', impact_statement: said }
          : {
              status: 'affected',
              action_statement: excepted ? `Accepted until ${excepted.expires}: ${excepted.reason}` : remedy,
            }),
      };
    });
  const document = {
    '@context': CONTEXT,
    '@id': about.id,
    author: about.author,
    timestamp: about.now.toISOString(),
    version: 1,
    statements,
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}
