import { describe, expect, test, vi } from 'vitest';
import { parseConfig } from '../../gateway/index.ts';
import { broken, isPlain, type Limit } from '../../gateway/policy/limits.ts';
import { secretPatterns } from '../../gateway/policy/secrets.ts';
import { configText, lastMessage, textOf } from './gateway.ts';
import { runWatched } from './watching/watched.ts';

// Child processes start slowly on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

// Made of parts, so that nobody's scanner takes this file for a leak.
const AWS = `AKIA${'IOSFODNN7EXAMPLE'}`;
const GITHUB = `ghp_${'a1B2'.repeat(9)}`;
const KEY = `-----BEGIN RSA ${'PRIVATE'} KEY-----\nMIIB`;

const limits: Record<string, Limit> = {
  echo: {
    properties: {
      message: { type: 'string', maxLength: 40, pattern: '[a-z /.%~\\\\]+' },
      path: { pathPrefix: ['/data/notes', '/srv/'] },
      depth: { type: 'integer', minimum: 0, maximum: 3 },
      mode: { enum: ['read', null] },
      tags: { items: { maxLength: 3 }, maxItems: 2 },
    },
    additionalProperties: false,
  },
  '*': { properties: { ms: { maximum: 10 } } },
};

describe('a limit of an argument', () => {
  test.each<[object, string | undefined]>([
    [{ message: 'all is well', path: '/data/notes/a.txt', depth: 3, mode: 'read', tags: ['a', 'abc'] }, undefined],
    [{ path: '/data/notes' }, undefined],
    [{ path: '/srv/x/../y' }, undefined],
    [{ mode: null }, undefined],
    [{}, undefined],
    [{ message: 'UPPER' }, 'message: pattern'],
    [{ message: 'ok\nUPPER' }, 'message: pattern'],
    [{ message: 'a'.repeat(41) }, 'message: maxLength'],
    [{ message: ['all is well'] }, 'message: type'],
    [{ path: '/data/notes/../secret' }, 'path: pathPrefix'],
    [{ path: '/data/notesecret' }, 'path: pathPrefix'],
    [{ path: '/data/notes/..%2fsecret' }, 'path: pathPrefix'],
    [{ path: '/data/notes/%2E%2E/secret' }, 'path: pathPrefix'],
    [{ path: '/data/notes\\..\\secret' }, 'path: pathPrefix'],
    [{ path: '/data/notes/a\u0000' }, 'path: pathPrefix'],
    [{ path: 'data/notes/a' }, 'path: pathPrefix'],
    [{ path: '~/x' }, 'path: pathPrefix'],
    [{ path: ['/etc/passwd'] }, 'path: pathPrefix'],
    [{ path: { toString: '/data/notes' } }, 'path: pathPrefix'],
    [{ depth: 4 }, 'depth: maximum'],
    [{ depth: -1 }, 'depth: minimum'],
    [{ depth: '1' }, 'depth: type'],
    [{ depth: 1.5 }, 'depth: type'],
    [{ mode: 'write' }, 'mode: enum'],
    [{ tags: ['a', 'abcd'] }, 'tags[]: maxLength'],
    [{ tags: ['a', 'b', 'c'] }, 'tags: maxItems'],
    [{ tags: 'abcd' }, 'tags: items'],
    [{ other: 1 }, ': additionalProperties'],
    [JSON.parse('{"__proto__": 1}') as object, ': additionalProperties'],
  ])('%j', (args, expected) => {
    const found = broken(limits.echo as Limit, args);
    expect(found && `${found.path}: ${found.rule}`).toBe(expected);
  });

  test('is of the arguments as every parser reads them', () => {
    expect(isPlain('{"a":[1,{"b":2},"x,]"],"c":{}}', 0)).toBe(true);
    for (const text of ['{"a":1,"a":2}', '{"a":[1,{"b":2,"b":3}]}', '{"a":1,"\\u0061":2}', '[{"x":{"y":1,"y":1}}]']) {
      expect(isPlain(text, 0), text).toBe(false);
    }
    expect(isPlain('['.repeat(100_000) + ']'.repeat(100_000), 0)).toBe(false);
  });
});

describe('secrets', () => {
  const patterns = secretPatterns({ ours: 'acme-[0-9]{6}' }, ['google-api-key']);
  test.each([
    [AWS, 'aws-access-key'],
    [`key=${AWS},`, 'aws-access-key'],
    [GITHUB, 'github-token'],
    [KEY, 'private-key'],
    [`glpat-${'x1'.repeat(10)}`, 'gitlab-token'],
    [`xoxb-${'1234567890'}-abc`, 'slack-token'],
    [`npm_${'a1B2'.repeat(9)}`, 'npm-token'],
    [`mcpb_${'a'.repeat(43)}`, 'mcp-build-token'],
    ['acme-123456', 'ours'],
    [`AIza${'a'.repeat(35)}`, undefined],
    ['AKIA is how they begin', undefined],
    [`${AWS}A`, undefined],
    ['ghp_short', undefined],
    ['-----BEGIN CERTIFICATE-----', undefined],
  ])('%s', (text, kind) => {
    expect(patterns.find({ deep: [{ [text]: 1 }] })).toBe(kind);
    expect(patterns.find([[text]])).toBe(kind);
    expect(patterns.findIn(JSON.stringify({ result: { text } }))).toBe(kind);
    // Every letter by its number.
    const escaped = [...text].map((letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`).join('');
    expect(patterns.findIn(`{"text":"${escaped}"}`)).toBe(kind);
  });

  test('in ordinary text are none', () => {
    const text =
      'The quick brown fox: sk-123, task-force, https://example.test/?q=AKIAB, 0123456789abcdef0123456789abcdef';
    expect(patterns.find(text)).toBeUndefined();
  });
});

describe('a gateway with a policy', () => {
  const setup = (options: object) => runWatched({ servers: { fake: { options } } });
  const call = async (watched: Awaited<ReturnType<typeof setup>>, name: string, args: object | string) => {
    const session = await watched.session('fake');
    const text = typeof args === 'string' ? args : JSON.stringify(args);
    const body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"${name}","arguments":${text}}}`;
    return lastMessage(await (await watched.post('fake', body, { 'mcp-session-id': session })).text());
  };

  test('makes no call that breaks a limit, says which, and records it without the value', async () => {
    await using watched = await setup({ argumentLimits: limits });
    expect(textOf(await call(watched, 'echo', { message: 'fine' }))).toBe('fine');
    const refused = await call(watched, 'echo', { message: 'fine', path: '/etc/private' });
    expect(refused.error).toMatchObject({ code: -32030, data: { where: 'arguments', rule: 'path: pathPrefix' } });
    const twice = await call(watched, 'echo', '{"path":"/etc/private","path":"/data/notes/a"}');
    expect(twice.error?.code).toBe(-32030);
    expect((await call(watched, 'slow', { ms: 11 })).error?.code).toBe(-32030);
    expect((await call(watched, 'slow', { ms: 1 })).error).toBeUndefined();
    const records = await watched.records();
    expect(records.filter(({ kind }) => kind === 'call-blocked')).toMatchObject([
      { server: 'fake', target: 'echo', where: 'arguments', rule: 'path: pathPrefix' },
      { target: 'echo', rule: 'a name that stands twice' },
      { target: 'slow', rule: 'ms: maximum' },
    ]);
    expect(records.filter(({ kind, outcome }) => kind === 'done' && outcome === 'failed')).toHaveLength(3);
    expect(JSON.stringify(records)).not.toContain('private');
  });

  test('lets no secret in or out', async () => {
    await using watched = await setup({ secretPatterns: {} });
    const asked = await call(watched, 'echo', { message: `use ${GITHUB}` });
    expect(asked.error).toMatchObject({ code: -32030, data: { rule: 'secret:github-token' } });
    await using open = await setup({ secretPatterns: { arguments: 'allow' } });
    const answered = await call(open, 'echo', { message: `it is ${AWS}` });
    expect(answered.error).toMatchObject({ code: -32030, data: { where: 'result', rule: 'secret:aws-access-key' } });
    expect(textOf(await call(open, 'echo', { message: 'nothing here' }))).toBe('nothing here');
    for (const each of [watched, open]) {
      const records = await each.records();
      expect(records.filter(({ kind }) => kind === 'call-blocked')).toHaveLength(1);
      expect(JSON.stringify(records)).not.toMatch(/AKIA|ghp_/);
      expect(await (await fetch(`${each.url}/_metrics`)).text()).toContain('kind="call-blocked"');
    }
  });

  test('takes secrets out of answers where that is wanted', async () => {
    await using watched = await setup({ secretPatterns: { arguments: 'allow', results: 'redact' } });
    const answer = await call(watched, 'echo', { message: `${KEY} and ${AWS}, and the rest` });
    expect(textOf(answer)).toMatch(/^\[removed: private-key\][\s\S]*\[removed: aws-access-key\], and the rest$/);
    expect((await watched.records()).filter(({ kind }) => kind === 'call-blocked')).toMatchObject([
      { where: 'result' },
    ]);
  });

  test.each([
    [{ argumentLimits: { echo: { patern: 'x' } } }],
    [{ argumentLimits: { echo: { properties: { a: { pattern: '(' } } } } }],
    [{ argumentLimits: { echo: { pathPrefix: ['notes'] } } }],
    [{ secretPatterns: { except: ['everything'] } }],
    [{ secretPatterns: { also: { x: '(((' } } }],
    [{ secretPatterns: { results: 'warn' } }],
  ])('is not started with a mistake in it: %j', (options) => {
    const text = configText({ servers: { fake: { options } } });
    expect(() => parseConfig(text, 'config.json', {})).toThrow(expect.objectContaining({ code: 'config-invalid' }));
  });
});
