import { describe, expect, test } from 'vitest';
import type { LayerLock, WheelArtifact } from '../../../builders/lock.ts';
import type { Answer, Compiler } from '../../../builders/pypi/compile.ts';
import type { Configuration } from '../../../builders/pypi/config/index.ts';
import { ageFaultOf, diagnose, presentable } from '../../../builders/pypi/diagnose.ts';
import { checkMetadata, claimedServerName, parseMetadata } from '../../../builders/pypi/metadata.ts';
import { parsePylock } from '../../../builders/pypi/pylock.ts';
import { formatRequirements } from '../../../builders/pypi/requirements.ts';
import { parseSource } from '../../../builders/source.ts';
import { integrityFromHex } from '../../../digest/index.ts';

const hash = (letter: string) => letter.repeat(64);
const file = (name: string, version: string, letter: string): WheelArtifact => ({
  kind: 'wheel',
  name,
  version,
  file: `${name}-${version}-py3-none-any.whl`,
  integrity: integrityFromHex('sha256', hash(letter)),
  index: 'default',
});
const layers = (...files: readonly WheelArtifact[]): LayerLock[] => [{ name: 'server', transform: 'pypi/1', files }];

describe('requirements.txt', () => {
  test('one entry a release, every hash, markers only where platforms differ', () => {
    const text = formatRequirements({
      'linux/amd64': layers(
        file('same', '1', 'a'),
        file('native', '1', 'b'),
        file('x86', '1', 'c'),
        file('two', '2', 'd'),
      ),
      'linux/arm64': layers(file('same', '1', 'a'), file('native', '1', 'e'), file('two', '1', 'f')),
    });
    expect(text).toBe(
      [
        'native==1 \\',
        `    --hash=sha256:${hash('b')} \\`,
        `    --hash=sha256:${hash('e')}`,
        'same==1 \\',
        `    --hash=sha256:${hash('a')}`,
        'two==1 ; platform_machine == "aarch64" \\',
        `    --hash=sha256:${hash('f')}`,
        'two==2 ; platform_machine == "x86_64" \\',
        `    --hash=sha256:${hash('d')}`,
        'x86==1 ; platform_machine == "x86_64" \\',
        `    --hash=sha256:${hash('c')}`,
        '',
      ].join('\n'),
    );
  });

  test('one platform alone needs no marker', () => {
    expect(formatRequirements({ 'linux/arm64': layers(file('a', '1', 'a')) })).not.toContain(';');
  });
});

describe('pylock.toml', () => {
  const head = 'lock-version = "1.0"\ncreated-by = "uv"\n';
  const wheelAt = (url: string, rest = '') =>
    `wheels = [{ url = "${url}", hashes = { sha256 = "${hash('a')}" }${rest} }]`;

  test('packages by name, with their wheels', () => {
    const text = `${head}
[[packages]]
name = "b"
version = "1.0+cpu"
${wheelAt('https://h.example.test/b-1.0%2Bcpu-py3-none-any.whl', ', size = 7, upload-time = 2026-01-02T03:04:05Z')}
[[packages]]
name = "a"
version = "2"
${wheelAt('https://h.example.test/x/a-2-py3-none-any.whl', ', upload-time = 2026-01-02T03:04:05')}
sdist = { url = "https://h.example.test/a-2.tar.gz", hashes = {} }
`;
    expect(parsePylock(text)).toEqual([
      {
        name: 'a',
        version: '2',
        wheels: [
          {
            file: 'a-2-py3-none-any.whl',
            url: 'https://h.example.test/x/a-2-py3-none-any.whl',
            sha256: hash('a'),
            size: undefined,
            uploaded: undefined,
          },
        ],
      },
      {
        name: 'b',
        version: '1.0+cpu',
        wheels: [
          {
            file: 'b-1.0+cpu-py3-none-any.whl',
            url: 'https://h.example.test/b-1.0%2Bcpu-py3-none-any.whl',
            sha256: hash('a'),
            size: 7,
            uploaded: new Date('2026-01-02T03:04:05Z'),
          },
        ],
      },
    ]);
  });

  test.each([
    ['not toml [', 'pylock-invalid'],
    ['lock-version = "2.0"', 'pylock-invalid'],
    [`${head}[[packages]]\nname = "../x"\nversion = "1"`, 'pylock-invalid'],
    [`${head}[[packages]]\nname = "a"\nversion = "1"\n[[packages]]\nname = "a"\nversion = "2"`, 'pylock-invalid'],
    [`${head}[[packages]]\nname = "a"\nvcs = { type = "git", url = "https://h" }`, 'exotic-dependency'],
    [`${head}[[packages]]\nname = "a"\ndirectory = { path = "x" }`, 'exotic-dependency'],
    [`${head}[[packages]]\nname = "a"\nversion = "1"\narchive = { url = "https://h/a.zip" }`, 'exotic-dependency'],
    [
      `${head}[[packages]]\nname = "a"\nversion = "1"\nwheels = [{ path = "a-1-py3-none-any.whl" }]`,
      'exotic-dependency',
    ],
  ])('%j is refused', (text, code) => {
    expect(() => parsePylock(text)).toThrowError(expect.objectContaining({ code }));
  });
});

describe('core metadata', () => {
  test('the header counts, not what the body says', () => {
    const found = parseMetadata(
      'Metadata-Version: 2.4\r\nname: A_b\r\nName: other\r\nVersion: 1.0\r\n\r\nName: body\r\n',
    );
    expect(found).toEqual({ name: 'A_b', version: '1.0', description: 'Name: body\r\n' });
    expect(() => checkMetadata(found, { name: 'a-b', version: '1', file: 'x' })).not.toThrow();
  });

  test.each([
    ['a-c', '1'],
    ['a-b', '1.1'],
  ])('%s %s is another package', (name, version) => {
    expect(() => checkMetadata({ name: 'a-b', version: '1' }, { name, version, file: 'x' })).toThrowError(
      expect.objectContaining({ code: 'manifest-mismatch', exit: 4 }),
    );
  });

  test.each([
    ['<!-- mcp-name: io.github.me/server -->', 'io.github.me/server'],
    ['mcp-name:io.github.me/a_b.', 'io.github.me/a_b'],
    ['my-mcp-name: io.github.me/x', undefined],
    ['mcp-name: nothing', undefined],
    ['', undefined],
  ])('%j claims %s', (text, name) => {
    expect(claimedServerName(text)).toBe(name);
  });
});

describe('why nothing was resolved', () => {
  const before = new Date('2026-05-15T00:00:00Z');
  const configuration = {
    indexes: [
      { name: 'default', url: 'https://h.example.test/', credentials: { username: 'me', password: 'hunter2' } },
    ],
    netrc: new Map(),
  } as unknown as Configuration;
  const resolvedWith = (uploaded: Date | undefined): Answer => ({
    kind: 'resolved',
    packages: [
      { name: 'srv', version: '2', wheels: [{ file: 'f', url: 'https://h', size: 1, sha256: hash('a'), uploaded }] },
    ],
  });
  const failing: Answer = { kind: 'failed', output: '' };
  const codeOf = async (output: string, without: Answer = failing, source = 'pypi:srv') => {
    const compiler: Compiler = { compile: async () => without, origins: async () => new Map() };
    const question = { requirements: ['srv'], platform: 'linux/amd64', before } as const;
    return diagnose(output, parseSource(source), question, compiler, configuration);
  };

  // What uv 0.13 says, and the last one as 0.9 draws it.
  test.each<[string, string, Answer?, string?]>([
    ['Because srv was not found in the package registry and you require srv, we can conclude', 'package-not-found'],
    ['Because srv==1 depends on gone and gone was not found in the package registry, we', 'package-not-found'],
    [
      'Because there is no version of srv==9 and you require srv==9, we can',
      'version-not-found',
      failing,
      'pypi:srv==9',
    ],
    ['Because only srv<=1 is available and you require srv>2, we can', 'version-not-found', failing, 'pypi:srv>2'],
    [
      'Because only dep<=1 is available and srv==1 depends on dep>2, we can conclude',
      'unresolvable',
      failing,
      'pypi:srv==1',
    ],
    ['Because all versions of srv have no usable wheels and you require srv, we can conclude', 'no-wheel'],
    ['Because dep==1.0 has no usable wheels and srv depends on dep, we', 'no-wheel'],
    ['Because dep>=307 has no wheels with a matching platform tag (e.g., `manylinux_2_36_x86_64`)', 'no-wheel'],
    ['cause: Package `foo` was included as a URL dependency. URL dependencies must be', 'exotic-dependency'],
    ['Because there is no version of srv==2 and', 'too-new', resolvedWith(new Date('2026-06-01'))],
    ['Because there are no versions of srv and you', 'age-unknown', resolvedWith(undefined)],
    ['Because there are no versions of srv and you', 'registry-invalid', resolvedWith(new Date('2026-01-01'))],
    [
      'error: Request failed after 3 retries\n  cause: Failed to fetch: https://h/srv/\n cause: tcp connect error',
      'registry-unavailable',
    ],
    [
      'hint: An index URL (https://h/) could not be queried due to a lack of valid authentication credentials',
      'registry-unauthorized',
    ],
    ['Because async-timeout<5 is needed and async-timeout>6 is needed, we can conclude', 'unresolvable'],
    [
      '  × No solution found when resolving dependencies:\n  ╰─▶ Because there is no version of\n      srv==9 and you require\n      srv==9, we can',
      'version-not-found',
      failing,
      'pypi:srv==9',
    ],
  ])('%s: %s', async (output, code, without, source) => {
    expect(await codeOf(output, without, source)).toMatchObject({ code });
  });

  test('what is passed on holds no secret, no escape sequence and no end of text', () => {
    const said = presentable(
      `\u001b[31mhttps://me:hunter2@h.example.test/x?sig=abc hunter2 \u202e${'y'.repeat(10_000)}`,
      configuration,
    );
    for (const gone of ['hunter2', 'sig=abc', '\u001b', '\u202e']) expect(said).not.toContain(gone);
    expect(said.length).toBeLessThan(3100);
  });

  test('age of a finished resolution', () => {
    const packages = (uploaded: Date | undefined) => {
      const answer = resolvedWith(uploaded);
      return answer.kind === 'resolved' ? answer.packages : [];
    };
    expect(ageFaultOf(packages(before), before)).toBeUndefined();
    expect(ageFaultOf(packages(new Date(before.getTime() + 1)), before)).toMatchObject({ code: 'too-new', exit: 4 });
    expect(ageFaultOf(packages(undefined), before)).toMatchObject({ code: 'age-unknown', exit: 4 });
  });
});
