/**
 * Base score of a CVSS vector of version 3.0, 3.1 or 4.0; undefined for anything else. Version 2 vectors don't name themselves, and no record
 * that matters has only one. The calculator is loaded by whoever reads records, never by an audit from what is kept of them.
 */
export async function cvss(): Promise<(vector: string) => number | undefined> {
  const { default: calculator } = await import('ae-cvss-calculator');
  return (vector) => {
    try {
      const base = vectorOf(vector, calculator)?.calculateScores(false).base;
      return base !== undefined && Number.isFinite(base) && base >= 0 && base <= 10 ? base : undefined;
    } catch {
      // The calculator throws at what it doesn't know.
      return undefined;
    }
  };
}

function vectorOf(vector: string, { Cvss3P0, Cvss3P1, Cvss4P0 }: typeof import('ae-cvss-calculator')) {
  // Every base metric must be there: a vector with holes has no score, and must not pass as harmless.
  if (/^CVSS:3\.[01]\//.test(vector)) {
    if (!['AV', 'AC', 'PR', 'UI', 'S', 'C', 'I', 'A'].every((metric) => has(vector, metric))) return undefined;
    return vector.startsWith('CVSS:3.0/') ? new Cvss3P0(vector) : new Cvss3P1(vector);
  }
  if (vector.startsWith('CVSS:4.0/')) {
    const metrics = ['AV', 'AC', 'AT', 'PR', 'UI', 'VC', 'VI', 'VA', 'SC', 'SI', 'SA'];
    return metrics.every((metric) => has(vector, metric)) ? new Cvss4P0(vector) : undefined;
  }
  return undefined;
}

function has(vector: string, metric: string): boolean {
  return new RegExp(`/${metric}:[A-Z](?:/|$)`).test(vector);
}
