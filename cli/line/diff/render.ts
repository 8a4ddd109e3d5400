import { markdownTable, oneLine, quoted } from '../markdown.ts';
import type { Difference, OfferEdits, PackageChange } from './compare.ts';
import { isSame } from './compare.ts';

/** Rows of a list; a pull request that nobody reads to its end helps nobody. */
const ROWS = 200;

/** For a terminal. */
export function textOf(difference: Difference, size: (bytes: number) => string): string {
  const { name, source, version, packages, permissions, offer, sizes, findings } = difference;
  if (isSame(difference) && findings.length === 0) return `${name} ${version.to}: the same`;
  const lines = [`${name} ${version.from === version.to ? version.to : `${version.from} → ${version.to}`}`];
  if (source) lines.push(`  source ${source.from} → ${source.to}`);
  for (const one of packages.added) lines.push(`  + ${one.name} ${one.to.join(', ')}${markOf(one)}`);
  for (const one of packages.removed) lines.push(`  - ${one.name} ${one.from.join(', ')}${markOf(one)}`);
  for (const one of packages.changed)
    lines.push(`  ~ ${one.name} ${one.from.join(', ')} → ${one.to.join(', ')}${markOf(one)}`);
  if (permissions) lines.push(`  permissions ${JSON.stringify(permissions.from)} → ${JSON.stringify(permissions.to)}`);
  for (const one of offer?.added ?? []) lines.push(`  + ${one}`);
  for (const one of offer?.removed ?? []) lines.push(`  - ${one}`);
  for (const one of offer?.changed ?? []) {
    lines.push(`  ~ ${one}`);
    const found = offer?.edits.find(({ name }) => name === one);
    for (const { path, from, to } of found?.edits ?? [])
      lines.push(`      ${path}: ${from ?? 'nothing'} → ${to ?? 'nothing'}`);
    if (found && found.more > 0) lines.push(`      and ${found.more} more`);
  }
  for (const { platform, from, to } of sizes) lines.push(`  ${platform} ${size(from)} → ${size(to)}`);
  for (const { severity, code, subject, message } of findings)
    lines.push(`  ! ${severity} ${code} ${subject}: ${message}`);
  return lines.map(oneLine).join('\n');
}

function markOf({ base, security, licence }: PackageChange): string {
  const marks = [
    base ? 'base' : '',
    security ? 'security update' : '',
    licence ? `licence ${licence.from.join(', ')} → ${licence.to.join(', ')}` : '',
  ];
  const told = marks.filter((one) => one !== '');
  return told.length > 0 ? ` (${told.join('; ')})` : '';
}

/** For the body of a pull request. Whatever comes from a package, an index or a server stands between backticks. */
export function markdownOf(differences: readonly Difference[], size: (bytes: number) => string): string {
  return `${differences.map((one) => sectionOf(one, size)).join('\n\n')}\n`;
}

function sectionOf(difference: Difference, size: (bytes: number) => string): string {
  const { name, source, version, packages, permissions, offer, sizes, findings } = difference;
  const head = version.from === version.to ? quoted(version.to) : `${quoted(version.from)} → ${quoted(version.to)}`;
  const lines = [`### ${quoted(name)} ${head}`];
  if (isSame(difference) && findings.length === 0) return [...lines, '', 'Nothing changed.'].join('\n');
  const { added, removed, changed } = packages;
  const own = (list: readonly PackageChange[]) => list.filter(({ base }) => !base);
  const base = [...added, ...removed, ...changed].filter((one) => one.base);
  lines.push(
    '',
    `${own(added).length} packages added, ${own(removed).length} removed, ${own(changed).length} changed; ${base.length} of the base.`,
  );
  if (source) lines.push('', `**Comes from ${quoted(source.to)}, and came from ${quoted(source.from)}.**`);
  if (findings.length > 0) {
    lines.push('', '#### New findings', '');
    lines.push(
      ...listed(
        findings.map(
          ({ severity, code, subject, message }) =>
            `- **${severity}** ${quoted(code)} ${quoted(subject)} ${quoted(message)}`,
        ),
      ),
    );
  }
  if (permissions) {
    lines.push(
      '',
      '#### Permissions',
      '',
      `- before: ${quoted(JSON.stringify(permissions.from), 1000)}`,
      `- now: ${quoted(JSON.stringify(permissions.to), 1000)}`,
    );
  }
  if (offer) {
    const item = (verb: string) => (one: string) => `- ${verb} ${quoted(one)}`;
    lines.push('', '#### Tools', '');
    lines.push(
      ...listed([
        ...offer.added.map(item('new')),
        ...offer.changed.map((one) => [item('changed')(one), ...editsIn(offer.edits, one)].join('\n')),
        ...offer.removed.map(item('gone')),
      ]),
    );
  }
  lines.push(...tableOf('Packages', [...own(added), ...own(removed), ...own(changed)]));
  lines.push(...tableOf('Base', base));
  if (sizes.length > 0) {
    lines.push(
      '',
      '#### Size',
      '',
      markdownTable(
        ['platform', 'before', 'now'],
        sizes.map(({ platform, from, to }) => [platform, size(from), size(to)]),
      ),
    );
  }
  return lines.join('\n');
}

/** In characters: those of an edit are bounded already, and what was cut off is said at its end. */
const VALUE = 1_000;

function editsIn(all: readonly OfferEdits[], name: string): readonly string[] {
  const found = all.find((one) => one.name === name);
  if (!found) return [];
  const lines = found.edits.map(({ path, from, to }) => {
    if (from === undefined) return `  - ${quoted(path)} new: ${quoted(to ?? '', VALUE)}`;
    if (to === undefined) return `  - ${quoted(path)} gone: ${quoted(from, VALUE)}`;
    return `  - ${quoted(path)}: ${quoted(from, VALUE)} → ${quoted(to, VALUE)}`;
  });
  return found.more > 0 ? [...lines, `  - and ${found.more} more`] : lines;
}

function tableOf(title: string, changes: readonly PackageChange[]): string[] {
  if (changes.length === 0) return [];
  const rows = changes
    .slice(0, ROWS)
    .map((one) => [quoted(one.name), versions(one.from), versions(one.to), notesOf(one)]);
  const more = changes.length > ROWS ? ['', `And ${changes.length - ROWS} more.`] : [];
  return ['', `#### ${title}`, '', markdownTable(['package', 'before', 'now', ''], rows), ...more];
}

function notesOf({ from, to, security, licence }: PackageChange): string {
  return [
    from.length === 0 ? 'new' : to.length === 0 ? 'gone' : '',
    security ? '**security update**' : '',
    licence ? `licence ${quoted(licence.from.join(', '))} → ${quoted(licence.to.join(', '))}` : '',
  ]
    .filter((one) => one !== '')
    .join(', ');
}

function versions(list: readonly string[]): string {
  return list.map((one) => quoted(one, 60)).join(' ');
}

function listed(lines: readonly string[]): readonly string[] {
  return lines.length > ROWS ? [...lines.slice(0, ROWS), `- and ${lines.length - ROWS} more`] : lines;
}
