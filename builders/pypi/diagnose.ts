import { McpBuildError } from '../../errors/index.ts';
import type { Platform } from '../platform.ts';
import type { Source } from '../source.ts';
import { formatSource, normalizeProject } from '../source.ts';
import type { Answer, Compiler, Question } from './compile.ts';
import type { Configuration } from './config/index.ts';
import { exotic, type LockedPackage } from './pylock.ts';

const SHOWN = 3000;

/** Why uv found nothing, as one of our errors. Asks uv again where its words leave it open. */
export async function diagnose(
  output: string,
  source: Source,
  question: Question,
  compiler: Compiler,
  configuration: Configuration,
): Promise<McpBuildError> {
  const shown = presentable(output, configuration);
  // Older versions break the lines of a sentence and draw a tree beside them.
  const said = shown.replace(/[\s│╰├─▶×]+/g, ' ');
  const connection = connectionFault(said, shown, source);
  if (connection) return connection;
  const url =
    /Package `([^`]+)` was included as a URL dependency/.exec(said) ??
    /could not be parsed: .*? ([A-Za-z0-9._-]+)(?:\[[^\]]*\])? @ \S/.exec(said);
  if (url) return exotic(url[1] ?? source.name);
  const absent = /(?:Because |\band )([a-z0-9._-]+) was not found in the package registry/.exec(said)?.[1];
  if (absent !== undefined) return notFound(absent, source, configuration);
  if (question.before) {
    const without = await compiler.compile({ ...question, before: undefined });
    const young = ageFault(without, question.before, source);
    if (young) return young;
  }
  const wheelless = [...said.matchAll(/\b([a-z0-9][a-z0-9._-]*)(?:[<>=!~][^\s]*)? ha(?:s|ve) no (?:usable )?wheels/g)];
  const all = /all versions of ([a-z0-9._-]+) have no usable wheels/.exec(said);
  const names = [...new Set([...(all ? [all] : []), ...wheelless].map((match) => match[1] ?? ''))];
  if (names.length > 0) return noWheel(names, question, shown);
  if (source.range !== '' && isRootAlone(said, source)) return noVersion(source, shown);
  return unresolvable(source, shown);
}

/** `there is no version of x==9` and `only x<=1 is available`, of what was asked for itself. */
function isRootAlone(said: string, source: Source): boolean {
  const name = source.name.replace(/[.]/g, '\\.');
  return new RegExp(
    `Because (?:there (?:is|are) no versions? of ${name}\\b|only (?:the following versions of )?${name}\\b)[\\s\\S]{0,2000}?and you require ${name}\\b`,
  ).test(said);
}

/** Refuses packages younger than the cut-off, and those whose age nobody says. */
export function ageFaultOf(
  all: readonly LockedPackage[],
  before: Date,
  excepted: readonly { readonly name: string; readonly version: string }[] = [],
): McpBuildError | undefined {
  const packages = all.filter(
    ({ name, version }) => !excepted.some((one) => normalizeProject(one.name) === name && one.version === version),
  );
  const unknown = packages.filter(({ wheels }) => wheels.some(({ uploaded }) => uploaded === undefined));
  const young = packages.filter(({ wheels }) => wheels.some(({ uploaded }) => uploaded && uploaded > before));
  if (young.length > 0) {
    const list = young.map(({ name, version, wheels }) => {
      const newest = wheels
        .map(({ uploaded }) => uploaded?.toISOString() ?? '')
        .sort()
        .at(-1);
      return `${name} ${version} (${newest})`;
    });
    return new McpBuildError({
      code: 'too-new',
      message: `Younger than the release-age cut-off ${before.toISOString()}: ${shorten(list)}`,
      input: young[0]?.name ?? '',
      fix: 'Wait until the release is old enough, ask for an earlier version, or set another release age.',
      exit: 4,
    });
  }
  if (unknown.length === 0) return undefined;
  return new McpBuildError({
    code: 'age-unknown',
    message: `The index doesn't say when these were uploaded, so that they can't be old enough: ${shorten(unknown.map(({ name, version }) => `${name} ${version}`))}`,
    input: unknown[0]?.name ?? '',
    fix: 'Use an index that gives upload times (PEP 700), or switch the release age off.',
    exit: 4,
  });
}

function ageFault(without: Answer, before: Date, source: Source): McpBuildError | undefined {
  if (without.kind === 'failed') return undefined;
  // What was asked for comes first: of several that are too young it is the one a person can do something about.
  const own = without.packages.filter(({ name }) => name === source.name);
  return (
    ageFaultOf(own, before) ??
    ageFaultOf(without.packages, before) ??
    // Old files only, and yet nothing with the cut-off: what the index serves changed between the two questions.
    new McpBuildError({
      code: 'registry-invalid',
      message: `The index gave two different answers for ${formatSource(source)}`,
      input: formatSource(source),
      fix: 'Try again.',
      exit: 5,
    })
  );
}

function connectionFault(said: string, shown: string, source: Source): McpBuildError | undefined {
  if (/\b40[13] (?:Unauthorized|Forbidden)|lack of valid authentication|Missing credentials/i.test(said)) {
    return new McpBuildError({
      code: 'registry-unauthorized',
      message: `The index wants other credentials for ${formatSource(source)}:\n${shown}`,
      input: formatSource(source),
      fix: 'Give them by UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD, in the URL of the index, or in netrc.',
      exit: 5,
    });
  }
  const down =
    /Failed to fetch|error sending request|HTTP status (?:client|server) error|Request failed after|operation timed out|Network (?:unreachable|connectivity)|tcp connect error|dns error/i;
  const garbage =
    /Received some unexpected|Failed to parse|expected value at line|missing field|Unsupported `?Content-Type|unexpected content|Metadata .*invalid|invalid (?:JSON|HTML)/i;
  const isGarbage = garbage.test(said);
  if (!isGarbage && !down.test(said)) return undefined;
  return new McpBuildError({
    code: isGarbage ? 'registry-invalid' : 'registry-unavailable',
    message: isGarbage
      ? `The index gave what can't be read for ${formatSource(source)}:\n${shown}`
      : `The index can't be asked for ${formatSource(source)}:\n${shown}`,
    input: formatSource(source),
    fix: isGarbage
      ? 'Check that the address is that of an index with the simple API, and that no login page or proxy answers for it.'
      : 'Check the network, the proxy and the address of the index, then try again.',
    exit: 5,
  });
}

function notFound(name: string, source: Source, configuration: Configuration): McpBuildError {
  const asked = configuration.indexes.map((index) => index.name).join(', ');
  const by = name === source.name ? '' : `, which ${formatSource(source)} needs,`;
  return new McpBuildError({
    code: 'package-not-found',
    message: `${name}${by} is at none of the indexes that are configured here (${asked})`,
    input: name,
    fix: 'Check the spelling, or configure the index that has it (UV_INDEX, UV_DEFAULT_INDEX, uv.toml or pip.conf).',
  });
}

function noVersion(source: Source, said: string): McpBuildError {
  return new McpBuildError({
    code: 'version-not-found',
    message: `No release of ${source.name} fits "${source.range}":\n${said}`,
    input: formatSource(source),
    fix: 'Ask for a version that exists, or for none to get the newest.',
  });
}

export function noWheel(names: readonly string[], question: Pick<Question, 'platform'>, said?: string): McpBuildError {
  return new McpBuildError({
    code: 'no-wheel',
    message: `No wheel for CPython 3.13 on ${question.platform}: ${shorten(names)}${said ? `\n${said}` : ''}`,
    input: names[0] ?? '',
    fix: 'Ask for a version that has wheels, lock for another platform, or publish a wheel to an index of your own: source distributions run their code when they are built, so they are not taken.',
  });
}

/**
 * Why the newest release can't be had, where an older one could: which, a person has to name, who then knows that it has none of what was
 * mended since. @param why as `diagnose` says it of `version`
 */
export function notNewest(
  why: McpBuildError,
  source: Source,
  version: string,
  older: string,
  platforms: readonly Platform[],
): McpBuildError {
  const extras = /^\[[^\]]*\]/.exec(source.range)?.[0] ?? '';
  const named = formatSource({ ...source, range: `${extras}==${older}` });
  return new McpBuildError({
    code: why.code,
    message: `${source.name} ${version}, the newest that ${formatSource(source)} can be, can't be had. ${why.message}`,
    ...(why.input === undefined ? {} : { input: why.input }),
    fix: `To take an older release, without what was mended since, name it: ${named}. ${keepingTo(why, source, platforms)}`,
    exit: why.exit,
    cause: why,
  });
}

function keepingTo({ code, input, fix }: McpBuildError, source: Source, platforms: readonly Platform[]): string {
  if (code === 'unresolvable') {
    return 'To keep to the newest, name other versions of what it needs under `overrides` in mcp-build.yaml.';
  }
  if (code !== 'no-wheel') return fix ?? '';
  const ways = [
    ...(input === source.name
      ? []
      : [`name a version of ${input} that has wheels under \`overrides\` in mcp-build.yaml`]),
    ...(platforms.length > 1 ? ['lock for one platform at a time'] : []),
    'publish a wheel to an index of your own',
  ];
  return `To keep to the newest, ${ways.join(', or ')}: source distributions run their code when they are built, so they are not taken.`;
}

function unresolvable(source: Source, said: string): McpBuildError {
  return new McpBuildError({
    code: 'unresolvable',
    message: `No set of releases satisfies ${formatSource(source)}:\n${said}`,
    input: formatSource(source),
    fix: 'Ask for another version of the server.',
  });
}

function shorten(list: readonly string[]): string {
  return list.length > 10 ? `${list.slice(0, 10).join(', ')} and ${list.length - 10} more` : list.join(', ');
}

/** What a program says, for a person: nothing secret, no escape sequences, not endless. */
export function presentable(output: string, configuration: Configuration): string {
  let text = output
    // biome-ignore lint/suspicious/noControlCharactersInRegex: packages' authors choose some of these characters; a terminal must not obey them
    .replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+/g, ' ')
    .replace(/\/\/[^\s/@]+@/g, '//')
    .replace(/(\?)[^\s)`'"]+/g, '$1…');
  const secrets = [...configuration.indexes.map(({ credentials }) => credentials), ...configuration.netrc.values()].map(
    (one) => one?.password ?? '',
  );
  for (const secret of secrets) {
    if (secret.length >= 4) text = text.replaceAll(secret, '***').replaceAll(encodeURIComponent(secret), '***');
  }
  const lines = text
    .split('\n')
    .filter((line) => !/^\s*$|^(?:warning|hint): .*(?:exclude-newer-package|index-strategy)/.test(line));
  const whole = lines.join('\n').trim();
  return whole.length > SHOWN ? `${whole.slice(0, SHOWN)}…` : whole;
}
