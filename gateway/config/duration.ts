const UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const PART = /(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)/y;

/** Reads `1m30s`, `500ms`, or a number of nanoseconds as Go has them. @returns milliseconds, or undefined for what is no duration */
export function parseDuration(value: string | number): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) && value >= 0 ? value / 1e6 : undefined;
  if (value === '0') return 0;
  let total = 0;
  PART.lastIndex = 0;
  for (let at = 0; at < value.length; at = PART.lastIndex) {
    PART.lastIndex = at;
    const match = PART.exec(value);
    if (!match) return undefined;
    total += Number(match[1]) * (UNITS[match[2] as string] as number);
  }
  return value === '' ? undefined : total;
}
