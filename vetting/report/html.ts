import { type Finding, printed } from '../finding.ts';
import { nameOf, type Package } from '../tree.ts';
import { type Gathered, gathered } from './gathered.ts';
import { ageOf, type Report, titleOf, unreadLine, unreadOf } from './report.ts';
import { STYLE } from './style.ts';

/** Nodes of a tree that are written out; one package needed by many would otherwise be there a thousand times. */
const NODES = 5000;

/** One file without scripts, pictures or anything from elsewhere: it can be mailed, archived, and opened in ten years. */
export function html(reports: readonly Report[]): string {
  const verdict = verdictOf(
    reports.flatMap((one) => one.refused),
    reports.flatMap(unreadOf),
  );
  const title = reports.map(({ name }) => name).join(', ');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escaped(title)}: ${verdict.toLowerCase()}</title>
<style>${STYLE}</style>
</head>
<body>
${reports.map(section).join('\n')}
<footer>mcp-build ${escaped(reports[0]?.version ?? '')}, ${escaped(reports[0]?.now.toISOString() ?? '')}</footer>
</body>
</html>
`;
}

function verdictOf(refused: readonly Finding[], unread: readonly string[]): string {
  if (refused.length > 0) return 'Refused';
  return unread.length > 0 ? `Nothing refused, but ${unreadLine(unread)}` : 'Nothing refused';
}

function section(report: Report): string {
  const { name, source, lock, findings, refused, packages, policy } = report;
  const told = findings.filter(({ severity, excepted }) => severity !== 'none' && !excepted);
  const excepted = findings.filter((one) => one.excepted);
  const facts = findings.filter((one) => one.severity === 'none' && !one.excepted);
  const news = findings.filter(({ isNew }) => isNew);
  const unread = unreadOf(report);
  return `<main>
<header class="${refused.length > 0 ? 'bad' : unread.length > 0 ? 'warn' : 'good'}">
<p class="verdict">${verdictOf(refused, unread)}</p>
<h1>${escaped(name)}</h1>
<p><code>${escaped(source)}</code> · ${lock === undefined ? '' : `${packages.length} packages · `}${told.length} findings, ${facts.length} facts</p>
<p class="small">${lock === undefined ? '' : `Lock <code>${escaped(lock)}</code><br>`}${escaped(policy === undefined ? 'Default policy' : `Policy ${policy}`)}${lock === undefined ? '' : `; ${escaped(ageOf(report))}`}.</p>
</header>
${lock === undefined ? '' : `<nav><a href="#${anchor(name)}-findings">Findings</a> <a href="#${anchor(name)}-tools">Tools</a> <a href="#${anchor(name)}-reach">Reach</a> <a href="#${anchor(name)}-provenance">Provenance</a> <a href="#${anchor(name)}-tree">Dependencies</a></nav>`}
<h2 id="${anchor(name)}-findings">Findings</h2>
${told.length === 0 ? '<p>None.</p>' : cards(told, refused)}
${unread.length === 0 ? '' : `<h2>Not read</h2><p>Archives could not be fetched, so nobody knows what is in them:</p><pre>${escaped(unread.join('\n'))}</pre>`}
${news.length === 0 ? '' : `<h2>New since the previous lock</h2><ul>${news.map((one) => `<li><code>${escaped(one.subject)}</code> ${escaped(one.message)}</li>`).join('')}</ul>`}
${excepted.length === 0 ? '' : `<h2>Accepted by exception</h2><ul>${excepted.map((one) => `<li><code>${escaped(one.subject)}</code> ${escaped(one.code)}: ${escaped(one.excepted?.reason ?? '')} <span class="small">until ${escaped(one.excepted?.expires ?? '')}</span></li>`).join('')}</ul>`}
${lock === undefined ? '' : about(report, facts)}
</main>`;
}

function about(report: Report, facts: readonly Finding[]): string {
  const { name } = report;
  return `<h2 id="${anchor(name)}-tools">Tools</h2>
${tools(report)}
<h2 id="${anchor(name)}-reach">What its code names</h2>
<p class="small">Hosts, variables and programs that are written in the code of a package. A server reaches and is given only what it is allowed.</p>
${reach(facts)}
<h2 id="${anchor(name)}-provenance">Provenance</h2>
${provenance(report)}
<h2 id="${anchor(name)}-tree">Dependencies</h2>
${tree(report)}`;
}

/** More minor ones than this would bury what follows them. */
const MINOR = 8;

function cards(told: readonly Finding[], refused: readonly Finding[]): string {
  const all = gathered(told, refused);
  const shown = (some: readonly Gathered[]) => some.map(card).join('\n');
  // That nothing was compared with is no minor thing to whoever reads that nothing was refused.
  const minor = all.filter(
    (one) => one.finding.severity === 'low' && !one.refused && !one.finding.code.startsWith('advisories-'),
  );
  if (minor.length <= MINOR) return shown(all);
  const kinds = new Map<string, number>();
  for (const { finding } of minor) kinds.set(titleOf(finding), (kinds.get(titleOf(finding)) ?? 0) + 1);
  const what = [...kinds].map(([title, count]) => `${title}${count > 1 ? ` ×${count}` : ''}`).join(', ');
  return `${shown(all.filter((one) => !minor.includes(one)))}
<details><summary>${minor.length} of low severity <span class="small">${escaped(what)}</span></summary>
${shown(minor)}
</details>`;
}

function card({ finding, refused, subjects }: Gathered): string {
  const { severity, subject, message, evidence, remedy, path, code, fixed } = finding;
  return `<article class="${severity}">
<h3><span class="badge">${severity}</span> ${escaped(titleOf(finding))} <code>${escaped(subject)}</code>${refused ? ' <span class="refused">refused</span>' : ''}</h3>
<p>${escaped(message)}</p>
${evidence.length === 0 ? '' : `<pre>${escaped(evidence.slice(0, 40).join('\n'))}</pre>`}${subjects.length > 1 ? `<details><summary>All ${subjects.length}</summary><pre>${escaped(subjects.join('\n'))}</pre></details>` : ''}
<p class="small">${path && path.length > 1 ? `${path.map(escaped).join(' → ')}<br>` : ''}${escaped(remedy).replace(/`([^`]+)`/g, '<code>$1</code>')}${fixed === undefined ? '' : ` Fixed in ${escaped(fixed)}.`} <code>${escaped(code)}</code></p>
</article>`;
}

function tools({ tools: list, name, findings }: Report): string {
  if (!list) return '<p>Nobody has listed them: <code>mcp-build test</code> does.</p>';
  const poisoned = new Set(findings.filter(({ code }) => code === 'tool-poisoning').map(({ subject }) => subject));
  const rows = list.tools.map(({ name: tool, definition }) => {
    const { description } = (definition ?? {}) as { description?: unknown };
    const bad = poisoned.has(`tool:${name}/${printed(tool, 100)}`);
    return `<tr${bad ? ' class="high"' : ''}><th scope="row"><code>${escaped(tool)}</code></th><td>${escaped(typeof description === 'string' ? description.slice(0, 600) : '')}</td></tr>`;
  });
  const more = [
    [list.prompts.length, 'prompts'],
    [list.resources.length, 'resources'],
    [list.resourceTemplates.length, 'resource templates'],
  ]
    .filter(([count]) => count !== 0)
    .map(([count, what]) => `${count} ${what}`);
  return `<table><thead><tr><th>Tool</th><th>What it tells a model</th></tr></thead><tbody>${rows.join('')}</tbody></table>${more.length === 0 ? '' : `<p>And ${more.join(', ')}.</p>`}`;
}

const REACH = ['network-host', 'environment', 'child-process', 'dynamic-code', 'native-binary', 'minified'] as const;

function reach(facts: readonly Finding[]): string {
  const parts = REACH.flatMap((code) => {
    const own = facts.filter((one) => one.code === code);
    const [first] = own;
    if (!first) return [];
    const rows = own.map(
      ({ subject, evidence }) =>
        `<tr><th scope="row"><code>${escaped(subject)}</code></th><td>${evidence.slice(0, 40).map(escaped).join('<br>')}</td></tr>`,
    );
    return [
      `<details><summary>${escaped(titleOf(first))} <span class="small">${own.length} packages</span></summary><table><tbody>${rows.join('')}</tbody></table></details>`,
    ];
  });
  return parts.length === 0 ? '<p>Nothing.</p>' : parts.join('\n');
}

function provenance({ provenance: known, packages }: Report): string {
  if (!known) return '<p>Nobody was asked.</p>';
  const own = packages.filter(({ ref }) => known.has(ref));
  const attested = own.flatMap(({ ref }) => {
    const said = known.get(ref)?.attestation;
    return said?.state === 'attested'
      ? [
          `<tr><th scope="row"><code>${escaped(ref)}</code></th><td>${escaped(said.origin.repository)}<br><span class="small">${escaped(said.origin.workflow ?? '')}</span></td></tr>`,
        ]
      : [];
  });
  const signed = own.filter(({ ref }) => known.get(ref)?.signature.state === 'valid').length;
  return `<p>${attested.length} of ${own.length} packages say, signed, where they were built; ${signed} have a valid signature of their registry.</p>${attested.length === 0 ? '' : `<table><tbody>${attested.join('')}</tbody></table>`}`;
}

function tree({ packages, findings }: Report): string {
  const byRef = new Map(packages.map((one) => [one.ref, one]));
  const worst = new Map<string, string>();
  for (const { subject, severity, excepted } of [...findings].reverse())
    if (severity !== 'none' && !excepted) worst.set(subject, severity);
  // What leads to a finding is open, the rest closed: nobody scrolls through a thousand packages.
  const leading = new Set(
    findings.flatMap(({ severity, path }) => (severity === 'none' ? [] : (path ?? []).slice(0, -1))),
  );
  const shown = new Set<string>();
  let nodes = 0;
  const node = (one: Package, depth: number): string => {
    nodes += 1;
    const mark = worst.get(one.ref);
    const label = `<code${mark ? ` class="${mark}"` : ''}>${escaped(nameOf(one))}</code> <span class="small">${escaped(one.version)}${one.license ? ` · ${escaped(one.license)}` : ''}</span>`;
    // Written out once; the second time it is only named.
    if (shown.has(one.ref) || one.needs.length === 0 || nodes > NODES)
      return `<li>${label}${one.needs.length > 0 && shown.has(one.ref) ? ' <span class="small">(above)</span>' : ''}</li>`;
    shown.add(one.ref);
    const needs = one.needs.flatMap((ref) => byRef.get(ref) ?? []);
    return `<li><details${depth === 0 || leading.has(one.ref) ? ' open' : ''}><summary>${label} <span class="small">· needs ${needs.length}</span></summary><ul>${needs.map((each) => node(each, depth + 1)).join('')}</ul></details></li>`;
  };
  const roots = packages.filter(({ server }) => server);
  const base = packages.filter((one) => one.base);
  return `<ul class="tree">${roots.map((one) => node(one, 0)).join('')}</ul><details><summary>Base image <span class="small">${base.length} packages</span></summary><ul>${base.map((one) => node(one, 1)).join('')}</ul></details>`;
}

function anchor(name: string): string {
  return name.replace(/[^A-Za-z0-9-]/g, '-');
}

/** For text and for attributes in double quotes. */
function escaped(value: string): string {
  return value.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
