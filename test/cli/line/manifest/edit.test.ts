import { execFile } from 'node:child_process';
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  addServer,
  editManifest,
  findManifest,
  parseManifest,
  removeServer,
} from '../../../../cli/line/manifest/index.ts';
import { MAIN } from '../../../e2e/harness/cli.ts';

const FILE = 'mcp-build.yaml';
const code = (name: string) => expect.objectContaining({ code: name });
const server = { source: 'pypi:mcp-server-fetch', permissions: { network: 'all' as const } };

const TEXT = `# ours
version:   1          # odd spaces stay

servers:
  # keeps a graph
  # of what it learned
  memory:
    source: "npm:@modelcontextprotocol/server-memory"   # quoted
    args:   [ "a",   'b' ]

  # not about time

  # tells the time
  time: {source: 'pypi:mcp-server-time', env: {TZ: "UTC"}}   # flow
# the end
`;

describe('adding', () => {
  it('leaves every other byte as it was, and sets it apart as the others are', () => {
    const after = addServer(TEXT, FILE, 'fetch', server);
    const block = '\n  fetch:\n    source: pypi:mcp-server-fetch\n    permissions:\n      network: all\n';
    expect(after).toBe(TEXT.replace('# flow\n', `# flow\n${block}`));
    expect(parseManifest(after, FILE).servers.map(({ name }) => name)).toEqual(['memory', 'time', 'fetch']);
  });

  it.each([
    ['Windows line ends', TEXT.replaceAll('\n', '\r\n'), /\r\n {2}fetch:\r\n {4}source/],
    ['no newline at the end', TEXT.replace('# the end\n', '').trimEnd(), /\n {2}fetch:\n/],
    ['another indentation', 'version: 1\nservers:\n      a:\n            source: npm:a\n', /\n {6}fetch:\n/],
    [
      'a block of text at the end',
      'version: 1\nservers:\n  a:\n    source: npm:a\n    args:\n      - |\n        x\n        y\n',
      /y\n {2}fetch:\n/,
    ],
    ['no servers yet', '# x\nversion: 1\n', /# x\nversion: 1\nservers:\n {2}fetch:\n/],
    ['an empty map', '# x\nversion: 1\nservers: {} # none\n', /\n {2}fetch:\n/],
    ['nothing', 'version: 1\nservers:\n', /\n {2}fetch:\n/],
    ['a flow map', 'version: 1\nservers: {a: {source: "npm:a"}} # short\n', /fetch: .*# short/s],
  ])('to a manifest with %s', (_what, text, expected) => {
    const after = addServer(text, FILE, 'fetch', server);
    expect(after).toMatch(expected);
    expect(parseManifest(after, FILE).servers.at(-1)?.name).toBe('fetch');
  });

  it('refuses a name that is taken, and what would not be a manifest', () => {
    expect(() => addServer(TEXT, FILE, 'time', server)).toThrow(code('name-taken'));
    expect(() => addServer(TEXT, FILE, 'x', { source: 'git:x' })).toThrow(code('manifest-invalid'));
    expect(() => addServer(TEXT, FILE, 'x', { ...server, env: { TOKEN: 'x' } })).toThrow(code('manifest-secret'));
    expect(() => addServer('servers: [', FILE, 'x', server)).toThrow(code('manifest-invalid'));
  });
});

describe('removing', () => {
  it('undoes adding, to the byte', () => {
    expect(removeServer(addServer(TEXT, FILE, 'fetch', server), FILE, 'fetch')).toBe(TEXT);
  });

  it('takes the comment right above, and no other', () => {
    expect(removeServer(TEXT, FILE, 'memory')).toBe(TEXT.replace(/ {2}# keeps a graph[\s\S]*?'b' \]\n\n/, ''));
    const after = removeServer(TEXT, FILE, 'time');
    expect(after).toContain('# not about time');
    expect(after).not.toContain('# tells the time');
    expect(after).toContain('# the end');
  });

  it('of the last one leaves a manifest to add to', () => {
    const none = removeServer(removeServer(TEXT, FILE, 'memory'), FILE, 'time');
    expect(parseManifest(none, FILE).servers).toEqual([]);
    expect(none).toContain('# ours');
    expect(parseManifest(addServer(none, FILE, 'fetch', server), FILE).servers).toHaveLength(1);
  });

  it('names what is not there', () => {
    expect(() => removeServer(TEXT, FILE, 'fetch')).toThrow(
      expect.objectContaining({ code: 'server-unknown', fix: expect.stringContaining('It has memory, time') }),
    );
    expect(() => removeServer(TEXT, FILE, 'memry')).toThrow(
      expect.objectContaining({ code: 'server-unknown', fix: 'Did you mean memory?' }),
    );
  });
});

it('any order of additions and removals leaves what was not touched as it was', () => {
  const names = ['a', 'b', 'c', 'd'];
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.constantFrom(...names)), { maxLength: 12 }), (steps) => {
      let text = TEXT;
      const there = new Set<string>();
      for (const [add, name] of steps) {
        if (add === there.has(name)) continue;
        text = add ? addServer(text, FILE, name, server) : removeServer(text, FILE, name);
        if (add) there.add(name);
        else there.delete(name);
        expect(new Set(parseManifest(text, FILE).servers.map((one) => one.name))).toEqual(
          new Set(['memory', 'time', ...there]),
        );
      }
      for (const name of there) text = removeServer(text, FILE, name);
      expect(text).toBe(TEXT);
    }),
    { numRuns: 60 },
  );
});

describe('a manifest on disk', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'manifest-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('is edited through a link, keeps its mode, and nothing is left beside it', async () => {
    await mkdir(join(folder, 'real'));
    const real = join(folder, 'real', 'ours.yaml');
    await writeFile(real, TEXT);
    await chmod(real, 0o640);
    await symlink(real, join(folder, FILE));
    await editManifest(folder, (text) => addServer(text, FILE, 'fetch', server));
    expect((await lstat(join(folder, FILE))).isSymbolicLink()).toBe(true);
    expect((await stat(real)).mode & 0o777).toBe(0o640);
    expect((await findManifest(folder))?.servers).toHaveLength(3);
    expect(await readdir(join(folder, 'real'))).toEqual(['ours.yaml']);
  });

  it('stays as it was when an edit is refused', async () => {
    await writeFile(join(folder, FILE), TEXT);
    await expect(editManifest(folder, (text) => addServer(text, FILE, 'time', server))).rejects.toThrow(
      code('name-taken'),
    );
    expect(await readFile(join(folder, FILE), 'utf8')).toBe(TEXT);
  });

  it('takes what several add at once', async () => {
    const names = ['a', 'b', 'c', 'd'];
    const add = (name: string) =>
      promisify(execFile)(process.execPath, [MAIN, 'add', `npm:${name}`, '--secret', 'TOKEN'], { cwd: folder });
    await Promise.all(names.map(add));
    const manifest = await findManifest(folder);
    expect(manifest?.servers.map(({ name }) => name).toSorted()).toEqual(names);
    await promisify(execFile)(process.execPath, [MAIN, 'remove', 'b'], { cwd: folder });
    expect((await findManifest(folder))?.servers).toHaveLength(3);
    await expect(promisify(execFile)(process.execPath, [MAIN, 'remove', 'b'], { cwd: folder })).rejects.toMatchObject({
      code: 2,
    });
  });
});
