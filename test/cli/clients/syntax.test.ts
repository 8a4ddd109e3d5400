import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonc } from '../../../cli/clients/jsonc.ts';
import type { Change, Syntax } from '../../../cli/clients/syntax.ts';
import { SyntaxFault, valueAt } from '../../../cli/clients/syntax.ts';
import { toml } from '../../../cli/clients/toml.ts';
import { yaml } from '../../../cli/clients/yaml.ts';

describe('JSON with comments', () => {
  const blank = fc.constantFrom('', ' ', '\n', '\r\n\t', ' // note\n', '/* , ] } " */', '\t');

  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(fc.json(), fc.integer({ min: 0, max: 4 }), (text, indent) => {
        const pretty = JSON.stringify(JSON.parse(text), null, indent);
        expect(jsonc.parse(pretty)).toEqual(JSON.parse(pretty));
      }),
      { numRuns: 300 },
    );
  });

  it('changes exactly one value, whatever stands around it', () => {
    const key = fc.string({ maxLength: 8 }).filter((name) => name !== '__proto__');
    fc.assert(
      fc.property(
        fc.array(fc.tuple(key, fc.jsonValue({ maxDepth: 2 })), { maxLength: 4 }),
        fc.array(fc.tuple(key, fc.jsonValue({ maxDepth: 2 })), { maxLength: 4 }),
        fc.jsonValue({ maxDepth: 1 }),
        fc.string(),
        fc.array(blank, { minLength: 8, maxLength: 8 }),
        fc.boolean(),
        (before, after, old, fresh, gaps, trailing) => {
          const member = ([name, value]: readonly [string, unknown]) =>
            `${gaps[0]}${JSON.stringify(name)}${gaps[1]}:${gaps[2]}${JSON.stringify(value)}${gaps[3]}`;
          const others = (list: readonly (readonly [string, unknown])[]) =>
            list.filter(([name]) => name !== 'at').map(member);
          const [head, tail] = [others(before), others(after)];
          const text = (value: string) =>
            `${gaps[4]}{${[...head, `${gaps[5]}"at"${gaps[1]}:${gaps[6]}${value}${gaps[7]}`, ...tail].join(',')}${trailing ? `,${gaps[0]}` : ''}}\n`;
          expect(jsonc.change(text(JSON.stringify(old)), [{ path: ['at'], value: fresh }])).toBe(
            text(JSON.stringify(fresh)),
          );
        },
      ),
      { numRuns: 500 },
    );
  });

  it('keeps a list on several lines on several lines, tabs, CRLF and a byte order mark', () => {
    const text = '\ufeff{\r\n\t"s": {\r\n\t\t"args": [\r\n\t\t\t"-y", // yes\r\n\t\t\t"x",\r\n\t\t],\r\n\t},\r\n}\r\n';
    expect(jsonc.change(text, [{ path: ['s', 'args'], value: ['run', 'npm:x'] }])).toBe(
      '\ufeff{\r\n\t"s": {\r\n\t\t"args": [\r\n\t\t\t"run",\r\n\t\t\t"npm:x"\r\n\t\t],\r\n\t},\r\n}\r\n',
    );
  });

  it('adds what is not there behind the last member', () => {
    expect(
      jsonc.change('{\n  "s": {\n    "command": "x"\n  }\n}', [
        { path: ['s', 'args'], value: ['a', 'b'] },
        { path: ['s', 'env'], value: { A: 'b' } },
      ]),
    ).toBe('{\n  "s": {\n    "command": "x",\n    "args": ["a", "b"],\n    "env": { "A": "b" }\n  }\n}');
    expect(jsonc.change('{"s":{}}', [{ path: ['s', 'a'], value: 'b' }])).toBe('{"s":{"a": "b"}}');
    expect(jsonc.change('{"s":{"x":1,}}', [{ path: ['s', 'a'], value: 'b' }])).toBe('{"s":{"x":1, "a": "b",}}');
  });

  it('changes the one that counts of two with the same name', () => {
    expect(jsonc.change('{"a":"1","a":"2"}', [{ path: ['a'], value: '3' }])).toBe('{"a":"1","a":"3"}');
  });

  it.each([
    ['', 1, 1],
    ['{', 1, 2],
    ['{"a": ', 1, 7],
    ['{\n  "a": 1\n  "b": 2\n}', 3, 3],
    ['{"a": "x', 1, 7],
    ['{"a": 01}', 1, 8],
    ['{"a": /* x', 1, 7],
    ['{} x', 1, 4],
    ["{'a': 1}", 1, 2],
    [`${'['.repeat(300)}`, 1, 202],
  ])('%j is refused at line %i, column %i', (text, line, column) => {
    expect.assertions(2);
    try {
      jsonc.parse(text);
    } catch (error) {
      expect(error).toBeInstanceOf(SyntaxFault);
      expect(error).toMatchObject({ line, column });
    }
  });

  it('sets no prototype', () => {
    const value = jsonc.parse('{"__proto__": {"polluted": true}}');
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect((value as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it('reads a string of megabytes', () => {
    const long = 'x\\n'.repeat(2_000_000);
    expect((jsonc.parse(`{"history": "${long}"}`) as { history: string }).history.length).toBe(4_000_000);
  });
});

interface Case {
  readonly syntax: Syntax;
  readonly name: string;
  readonly before: string;
  readonly changes: readonly Change[];
  readonly after: string;
}

const CASES: readonly Case[] = [
  {
    syntax: toml,
    name: 'a table with everything around it',
    before:
      '# mine\nmodel = "o"\n\n[mcp_servers.docs]   # fast\ncommand = "npx" # here\nargs = [\n  "-y", # ] yes\n  "x",\n]\nenv = { A = "]" }\n\n[mcp_servers."a.b"]\ncommand = \'npx\'\n',
    changes: [
      { path: ['mcp_servers', 'docs', 'command'], value: '/bin/node' },
      { path: ['mcp_servers', 'docs', 'args'], value: ['run', 'npm:x'] },
      { path: ['mcp_servers', 'a.b', 'command'], value: 'C:\\node.exe' },
      { path: ['mcp_servers', 'a.b', 'args'], value: ['é'] },
    ],
    after:
      '# mine\nmodel = "o"\n\n[mcp_servers.docs]   # fast\ncommand = "/bin/node" # here\nargs = ["run", "npm:x"]\nenv = { A = "]" }\n\n[mcp_servers."a.b"]\nargs = ["é"]\ncommand = "C:\\\\node.exe"\n',
  },
  {
    syntax: toml,
    name: 'strings that look like tables',
    before: "a = '''\n[s]\nx = 1\n'''\nb = \"\"\"\n[s] \\\"\"\"\"\n[s]\nx = 'old'\n",
    changes: [{ path: ['s', 'x'], value: 'new' }],
    after: 'a = \'\'\'\n[s]\nx = 1\n\'\'\'\nb = """\n[s] \\""""\n[s]\nx = "new"\n',
  },
  {
    syntax: yaml,
    name: 'a block with comments',
    before:
      '# top\nextensions:\n  docs:   # the docs\n    type: stdio\n    cmd: npx  # here\n    args:\n      - -y\n      - "x"\n    timeout: 300\n',
    changes: [
      { path: ['extensions', 'docs', 'cmd'], value: '/bin/node' },
      { path: ['extensions', 'docs', 'args'], value: ['run', 'npm:x'] },
    ],
    after:
      '# top\nextensions:\n  docs:   # the docs\n    type: stdio\n    cmd: "/bin/node"  # here\n    args:\n      - "run"\n      - "npm:x"\n    timeout: 300\n',
  },
  {
    syntax: yaml,
    name: 'a list no further in than its key, a flow list, a missing key',
    before: 'm:\n  a:\n    args:\n    - -y\n    - x\n  b: {cmd: npx, args: [x, y]}\n  c:\n    cmd: x\n',
    changes: [
      { path: ['m', 'a', 'args'], value: ['1', '2'] },
      { path: ['m', 'b', 'args'], value: ['3'] },
      { path: ['m', 'c', 'args'], value: ['4'] },
    ],
    after:
      'm:\n  a:\n    args:\n    - "1"\n    - "2"\n  b: {cmd: npx, args: ["3"]}\n  c:\n    args: ["4"]\n    cmd: x\n',
  },
];

describe.each(CASES)('$syntax.name: $name', ({ syntax, before, changes, after }) => {
  it('changes those bytes only', () => {
    expect(syntax.change(before, changes)).toBe(after);
    for (const { path, value } of changes) expect(valueAt(syntax.parse(after), path)).toEqual(value);
  });

  it('does so with CRLF', () => {
    const crlf = (text: string) => text.replaceAll(/\r?\n/g, '\r\n');
    expect(syntax.change(crlf(before), changes)).toBe(crlf(after));
  });
});

describe('what can’t be changed in place', () => {
  it.each([
    [toml, 's = { x = { command = "npx" } }\n', ['s', 'x', 'command']],
    [toml, '[[s]]\nx = 1\n', ['s', 'x']],
    [yaml, 'a: &x\n  cmd: npx\nb: *x\n', ['b', 'cmd']],
    [yaml, 'a: {}\n', ['a', 'cmd']],
    [jsonc, '{"a": 1}', ['a', 'b']],
  ] as const)('%s', (syntax, text, path) => {
    expect(() => syntax.change(text, [{ path, value: 'v' }])).toThrow(SyntaxFault);
  });

  it.each([
    [toml, 'a = \n'],
    [yaml, 'a: [\n'],
    [yaml, 'a: 1\na: 2\n'],
  ] as const)('broken text is refused with its place', (syntax, text) => {
    expect(() => syntax.parse(text)).toThrow(SyntaxFault);
  });
});
