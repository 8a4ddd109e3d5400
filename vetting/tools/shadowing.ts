import { type Finding, finding, printed } from '../finding.ts';
import type { ToolList } from './check.ts';
import { textsOf } from './texts.ts';

/** Shorter names are words: `add`, `search`. */
const SHORTEST = 6;

/**
 * Servers that run together are read by one model: two tools of one name, and a server that speaks about another's tools, are how one server
 * takes over what is meant for another. @param servers what each offers, by the server's name
 */
export function checkTogether(servers: ReadonlyMap<string, ToolList>): readonly Finding[] {
  const found: Finding[] = [];
  const owners = new Map<string, string[]>();
  for (const [server, { tools }] of servers) {
    // Once a server, in however many ways it tells of it.
    for (const name of new Set(tools.map((one) => one.name))) owners.set(name, [...(owners.get(name) ?? []), server]);
  }
  for (const [tool, own] of owners) {
    if (own.length < 2) continue;
    found.push(
      finding('tool-collision', `tool:${printed(tool, 100)}`, `${own.length} servers offer it: ${own.join(', ')}`),
    );
  }
  for (const [server, { tools, instructions }] of servers) {
    const own = new Set(tools.map(({ name }) => name));
    const others = [...owners.keys()].filter(
      (name) => !own.has(name) && name.length >= SHORTEST && /[_-]|[a-z][A-Z]/.test(name),
    );
    const speaks = (subject: string, text: string) => {
      const words = new Set(text.match(/[A-Za-z0-9_.-]{6,128}/g) ?? []);
      const named = others.filter((name) => words.has(name));
      if (named.length === 0) return;
      const whose = [...new Set(named.flatMap((name) => owners.get(name) ?? []))].join(', ');
      found.push(
        finding(
          'tool-shadowing',
          subject,
          `Speaks about ${named
            .slice(0, 3)
            .map((name) => printed(name, 60))
            .join(', ')} of ${whose}`,
          {
            evidence: named.slice(0, 20).map((name) => printed(name, 100)),
          },
        ),
      );
    };
    for (const { name, definition } of tools) {
      speaks(
        `tool:${server}/${printed(name, 100)}`,
        textsOf(definition)
          .map(({ text }) => text)
          .join('\n'),
      );
    }
    if (instructions !== null) speaks(`instructions:${server}`, instructions);
  }
  return found;
}
