/** Secrets that can be told by how they look. What is only random can't. */
const KNOWN: Readonly<Record<string, string>> = {
  'aws-access-key': String.raw`\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b`,
  'github-token': String.raw`\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})\b`,
  'gitlab-token': String.raw`\bgl(?:pat|dt|rt|ptt|cbt)-[A-Za-z0-9_-]{20,}`,
  'private-key': '-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----',
  'age-key': String.raw`\bAGE-SECRET-KEY-1[0-9A-Z]{58}\b`,
  'slack-token': String.raw`\bxox[abeprs]-[A-Za-z0-9-]{10,}`,
  'google-api-key': String.raw`\bAIza[0-9A-Za-z_-]{35}`,
  'stripe-key': String.raw`\b(?:sk|rk)_live_[0-9A-Za-z]{20,}\b`,
  'npm-token': String.raw`\bnpm_[A-Za-z0-9]{36}\b`,
  'pypi-token': String.raw`\bpypi-AgE[A-Za-z0-9_-]{50,}`,
  'openai-key': String.raw`\bsk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40,}`,
  'anthropic-key': String.raw`\bsk-ant-[a-z0-9]+-[A-Za-z0-9_-]{40,}`,
  'sendgrid-key': String.raw`\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}`,
  'mcp-build-token': String.raw`\bmcpb_[A-Za-z0-9_-]{43}`,
};

export const SECRET_NAMES = Object.keys(KNOWN);

/** Finds secrets in values of JSON. */
export interface SecretPatterns {
  /** @returns the kind of the first that is found in a value, its names included */
  find(value: unknown): string | undefined;
  /** The same in JSON text, where most texts can be looked at without being read. */
  findIn(json: string): string | undefined;
  /** The value with every secret taken out. */
  redact(value: unknown): unknown;
}

export function secretPatterns(
  also: Readonly<Record<string, string>> = {},
  except: readonly string[] = [],
): SecretPatterns {
  const sources = Object.entries({ ...KNOWN, ...also }).filter(([name]) => !except.includes(name));
  const each = sources.map(([name, source]) => [name, new RegExp(source, 'gu')] as const);

  const inText = (text: string) => {
    for (const [name, pattern] of each) {
      pattern.lastIndex = 0;
      if (pattern.test(text)) return name;
    }
    return undefined;
  };
  const clean = (text: string) =>
    each.reduce((rest, [name, pattern]) => rest.replace(pattern, `[removed: ${name}]`), text);

  function find(value: unknown): string | undefined {
    // Not by recursion: what comes may be nested as deep as it is long.
    const waiting: unknown[] = [value];
    while (waiting.length > 0) {
      const next = waiting.pop();
      if (typeof next === 'string') {
        const found = inText(next);
        if (found) return found;
      } else if (typeof next === 'object' && next !== null) {
        for (const [name, inner] of Object.entries(next)) waiting.push(name, inner);
      }
    }
    return undefined;
  }

  return {
    find,
    findIn(json) {
      // A letter may be written by its number; then only reading tells what is there. So may a line's end, which could be part of a pattern.
      if (json.includes('\\')) return find(JSON.parse(json));
      return inText(json);
    },
    redact: (value) =>
      JSON.parse(JSON.stringify(value), (_name, inner: unknown) => (typeof inner === 'string' ? clean(inner) : inner)),
  };
}
