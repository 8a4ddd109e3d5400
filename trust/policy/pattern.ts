/**
 * Whether a name matches a pattern. `*` stands for anything within a segment, `**` for anything; everything else is itself, and the whole
 * name must match. Matching is by hand, in linear steps: a policy's author is trusted, but the names it is matched with come from outside.
 */
export function matches(pattern: string, name: string): boolean {
  const parts = pattern.split(/(\*\*|\*)/).filter((part) => part !== '');
  let places = new Set([0]);
  for (const part of parts) {
    const next = new Set<number>();
    if (part !== '*' && part !== '**') {
      for (const at of places) if (name.startsWith(part, at)) next.add(at + part.length);
    } else {
      let open = false;
      for (let at = 0; at <= name.length; at++) {
        open ||= places.has(at);
        if (open) next.add(at);
        if (part === '*' && name[at] === '/') open = false;
      }
    }
    places = next;
  }
  return places.has(name.length);
}

export function matchesAny(patterns: readonly string[] | undefined, name: string | undefined): boolean {
  return patterns === undefined || (name !== undefined && patterns.some((pattern) => matches(pattern, name)));
}
