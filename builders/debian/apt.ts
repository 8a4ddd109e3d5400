import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readBounded } from '../../files/index.ts';
import { parseControl } from './control.ts';

/** Where this machine's own apt gets Debian from. */
export interface AptConfiguration {
  readonly mirror: string | undefined;
  readonly security: string | undefined;
  /** `Acquire::http::Proxy`. */
  readonly proxy: string | undefined;
}

interface AptSource {
  readonly uris: readonly string[];
  readonly suites: readonly string[];
  readonly components: readonly string[];
}

/** In bytes, for each file. */
const FILE_LIMIT = 1024 * 1024;

/** Suites that only Debian's own archives have: a machine with Ubuntu or a vendor's repository names no mirror of Debian by it. */
const DEBIAN =
  /^(?:bullseye|bookworm|trixie|forky|duke|sid|(?:old){0,2}stable|testing|unstable)(-updates|-security|-backports|\/updates)?$/;

/** Reads apt's configuration below `folder` (`/etc/apt`). What can't be read or understood is passed over, as a mirror can be named otherwise. */
export async function aptConfiguration(folder: string): Promise<AptConfiguration> {
  const sources = [
    ...parseOneLine(await textOf(join(folder, 'sources.list'))),
    ...(await textsOf(join(folder, 'sources.list.d'), '.list')).flatMap(parseOneLine),
    ...(await textsOf(join(folder, 'sources.list.d'), '.sources')).flatMap(parseDeb822),
  ];
  const configuration = [...(await textsOf(join(folder, 'apt.conf.d'), '')), await textOf(join(folder, 'apt.conf'))];
  return {
    mirror: uriOf(sources, (suffix) => suffix !== '-security' && suffix !== '/updates'),
    security: uriOf(sources, (suffix) => suffix === '-security' || suffix === '/updates'),
    proxy: proxyOf(configuration.join('\n')),
  };
}

function uriOf(sources: readonly AptSource[], fits: (suffix: string | undefined) => boolean): string | undefined {
  for (const { uris, suites, components } of sources) {
    if (!components.includes('main')) continue;
    const matches = suites.map((suite) => DEBIAN.exec(suite)).filter((match) => match !== null);
    if (!matches.some((match) => fits(match[1]))) continue;
    const uri = uris.find((candidate) => /^https?:\/\//.test(candidate));
    if (uri) return uri.replace(/\/+$/, '');
  }
  return undefined;
}

/** sources.list(5): `deb [options] uri suite component…` */
function parseOneLine(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const line of text.split('\n')) {
    const match = /^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line);
    if (match) sources.push({ uris: [match[1]!], suites: [match[2]!], components: words(match[3]) });
  }
  return sources;
}

function parseDeb822(text: string): AptSource[] {
  try {
    return parseControl(text, 'apt sources', true)
      .filter((stanza) => words(stanza.get('types')).includes('deb') && stanza.get('enabled')?.toLowerCase() !== 'no')
      .map((stanza) => ({
        uris: words(stanza.get('uris')),
        suites: words(stanza.get('suites')),
        components: words(stanza.get('components')),
      }));
  } catch {
    return [];
  }
}

/** The last one counts, as for apt. `DIRECT` means none. */
function proxyOf(text: string): string | undefined {
  const values = [...text.matchAll(/^\s*Acquire::http::Proxy\s+"([^"\n]*)"\s*;/gim)].map((match) => match[1]!);
  const last = values.at(-1);
  return last && /^https?:\/\//.test(last) ? last : undefined;
}

function words(text: string | undefined): string[] {
  return (text ?? '').split(/\s+/).filter((word) => word !== '');
}

async function textsOf(folder: string, ending: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  const wanted = names.filter((name) => name.endsWith(ending)).sort();
  return Promise.all(wanted.map((name) => textOf(join(folder, name))));
}

async function textOf(path: string): Promise<string> {
  return readBounded(path, FILE_LIMIT).then(String, () => '');
}
