import { describe, expect, test } from 'vitest';
import type { ResolveOptions } from '../../../builders/adapter.ts';
import type { Session } from '../../../builders/pypi/fetch.ts';
import { newerThan } from '../../../builders/pypi/newest.ts';
import type { ListedFile } from '../../../builders/pypi/simple.ts';
import { parseSource } from '../../../builders/source.ts';

const before = new Date('2026-05-15T00:00:00Z');
const YOUNG = '2026-05-15T00:00:01Z';

const listed = (file: string, more: Partial<ListedFile> = {}): ListedFile => ({
  file,
  url: `https://example.test/${file}`,
  sha256: undefined,
  size: undefined,
  uploaded: '2026-01-01T00:00:00Z',
  ...more,
});
const pure = (version: string, more?: Partial<ListedFile>) => listed(`srv-${version}-py3-none-any.whl`, more);
const source = (version: string, more?: Partial<ListedFile>) => listed(`srv-${version}.tar.gz`, more);

interface Case {
  readonly files: readonly ListedFile[];
  readonly asked?: string;
  readonly chosen?: string;
  readonly configuration?: { readonly prerelease?: string; readonly resolution?: string; readonly strategy?: string };
  readonly young?: ResolveOptions['young'];
  readonly before?: Date | undefined;
  /** What the second index has. */
  readonly second?: readonly ListedFile[];
}

async function newer({ files, asked = 'srv', chosen = '1.0', configuration = {}, young, second, ...rest }: Case) {
  let pages = 0;
  const session = {
    client: { configuration: { indexes: [{ name: 'one' }, { name: 'two' }], ...configuration } },
    files: async ({ name }: { name: string }) => {
      pages += 1;
      return name === 'one' ? files : second;
    },
  } as unknown as Session;
  const options = { before: 'before' in rest ? rest.before : before, young } as unknown as ResolveOptions;
  const found = await newerThan(chosen, parseSource(`pypi:${asked}`), ['linux/amd64', 'linux/arm64'], options, session);
  return { found, pages };
}

describe('the releases that the newest one wanted can be', () => {
  test.each<[string, Case, readonly string[]]>([
    ['none is newer', { files: [pure('1.0'), pure('0.9')] }, []],
    [
      'newest first, by number',
      { files: [pure('1.0'), pure('1.9'), pure('1.10'), pure('1.0.post1')] },
      ['1.10', '1.9', '1.0.post1'],
    ],
    ['a source distribution alone is one', { files: [pure('1.0'), source('2.0')] }, ['2.0']],
    ['whatever its name is written like', { files: [listed('S.rv-2.0.zip'), pure('1.0')], asked: 's-rv' }, ['2.0']],
    ['what is for other systems alone is one', { files: [listed('srv-2.0-cp313-cp313-win_amd64.whl')] }, ['2.0']],
    [
      'other files are none',
      { files: [listed('srv-2.0.exe'), listed('srv-extra-2.0.tar.gz'), listed('x-2.0.tar.gz')] },
      [],
    ],
    [
      'one that was taken back is none',
      { files: [pure('2.0', { yanked: '' }), pure('3.0', { yanked: 'broken' })] },
      [],
    ],
    [
      'one for another Python is none',
      { files: [pure('2.0', { requiresPython: '>=3.14' }), pure('1.5', { requiresPython: '>=3.10, <4' })] },
      ['1.5'],
    ],
    ['a pre-release is none', { files: [pure('2.0rc1'), pure('2.0.dev3'), pure('1.1')] }, ['1.1']],
    ['unless there is nothing else', { files: [pure('2.0rc1'), pure('1.0a1')], chosen: '1.0a1' }, ['2.0rc1']],
    ['or it is asked for', { files: [pure('2.0rc1'), pure('1.1')], asked: 'srv>=2.0b1' }, ['2.0rc1']],
    [
      'or the user takes them all',
      { files: [pure('2.0rc1'), pure('1.1')], configuration: { prerelease: 'allow' } },
      ['2.0rc1', '1.1'],
    ],
    ['one that is too young is none', { files: [pure('2.0', { uploaded: YOUNG }), pure('1.1')] }, ['1.1']],
    ['nor one whose age nobody says', { files: [pure('2.0', { uploaded: undefined })] }, []],
    ['but for whom no age counts', { files: [pure('2.0', { uploaded: YOUNG })], before: undefined }, ['2.0']],
    [
      'one whose wheels are still too young is none, though its source is not',
      { files: [source('2.0'), pure('2.0', { uploaded: YOUNG })] },
      [],
    ],
    [
      'one that is excepted is one, and what follows it none',
      { files: [pure('2.0', { uploaded: YOUNG }), pure('2.1')], young: [{ name: 'Srv', version: '2' }] },
      ['2.0'],
    ],
    [
      'within the range only',
      { files: [pure('1.5'), pure('2.0'), pure('3.0')], asked: 'srv[cli]>=1,<3,!=2.0' },
      ['1.5'],
    ],
    ['within a compatible release only', { files: [pure('1.5'), pure('2.0')], asked: 'srv~=1.0' }, ['1.5']],
    ['of the first index that knows it', { files: [pure('1.0')], second: [pure('2.0')] }, []],
    [
      'of all, where the user has uv look at all',
      { files: [pure('1.0')], second: [pure('2.0')], configuration: { strategy: 'unsafe-best-match' } },
      ['2.0'],
    ],
  ])('%s', async (_, one, expected) => {
    expect((await newer(one)).found).toEqual(expected);
  });

  test('who names a version, or wants the oldest, has nobody asked', async () => {
    const files = [pure('2.0')];
    const quiet = { found: [], pages: 0 };
    expect(await newer({ files, asked: 'srv==1.0' })).toEqual(quiet);
    expect(await newer({ files, asked: 'srv@1.0' })).toEqual(quiet);
    expect(await newer({ files, asked: 'srv===1.0' })).toEqual(quiet);
    expect(await newer({ files, configuration: { resolution: 'lowest-direct' } })).toEqual(quiet);
    expect(await newer({ files, asked: 'srv==2.*' })).toEqual({ found: ['2.0'], pages: 1 });
  });
});
