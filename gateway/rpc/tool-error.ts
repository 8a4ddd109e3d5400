/** How a result says that the tool failed, wherever it stands: text that quotes it has a backslash before each mark. */
const SAID = Buffer.from('"isError"');
const COLON = 0x3a;
const T = 0x74;

/**
 * Whether a line that answers a tool's call says that the tool failed, which is a result like any other for JSON-RPC. An answer that doesn't is
 * searched and not parsed, however large it is and even where it says `false`.
 */
export function isToolError(line: Buffer): boolean {
  for (let at = line.indexOf(SAID); at >= 0; at = line.indexOf(SAID, at + SAID.length)) {
    const colon = pastSpace(line, at + SAID.length);
    if (line[colon] !== COLON || line[pastSpace(line, colon + 1)] !== T) continue;
    // It may be a member of something else in the result. Once is enough: parsing looks at all of it.
    const { result } = JSON.parse(line.toString('utf8')) as { result?: { isError?: unknown } | null };
    return result?.isError === true;
  }
  return false;
}

function pastSpace(line: Buffer, from: number): number {
  let at = from;
  while (line[at] === 0x20 || line[at] === 0x09 || line[at] === 0x0a || line[at] === 0x0d) at += 1;
  return at;
}
