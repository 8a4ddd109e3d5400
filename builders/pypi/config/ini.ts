/**
 * Reads what pip's configuration files are (Python's `RawConfigParser`): sections, `key = value` or `key: value`, values that go on
 * in indented lines, whole-line comments, no interpolation. Keys come out as pip normalises them: lower case, `-` for `_`.
 */
export function parseIni(text: string): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const sections = new Map<string, Map<string, string>>();
  let section: Map<string, string> | undefined;
  let key: string | undefined;
  for (const line of text.replace(/^\uFEFF/, '').split(/\r\n|\r|\n/)) {
    if (/^\s*[#;]/.test(line)) continue;
    if (line.trim() === '') continue;
    if (/^\s/.test(line) && section && key !== undefined) {
      section.set(key, `${section.get(key) ?? ''}\n${line.trim()}`);
      continue;
    }
    const title = /^\[([^\]]+)\]/.exec(line.trim());
    if (title) {
      const name = title[1] ?? '';
      section = sections.get(name) ?? new Map();
      sections.set(name, section);
      key = undefined;
      continue;
    }
    const pair = /^([^=:]+)[=:](.*)$/.exec(line);
    if (!pair || !section) continue;
    key = (pair[1] ?? '').trim().toLowerCase().replace(/_/g, '-').replace(/^--/, '');
    section.set(key, (pair[2] ?? '').trim());
  }
  return sections;
}
