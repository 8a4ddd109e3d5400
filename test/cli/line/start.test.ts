import { describe, expect, it } from 'vitest';
import { homeOf } from '../../../cli/line/home.ts';
import { folderOf } from '../../../cli/line/source.ts';
import { environmentValues, sessionOptions, type Verified } from '../../../cli/line/start.ts';
import type { Runtime } from '../../../runner/index.ts';

describe('environmentValues', () => {
  it('takes only what is named, from the caller or as given', () => {
    const environment = { A: '1', B: '2', EMPTY: '' };
    expect(environmentValues(['A', 'C=x=y', 'EMPTY'], environment)).toEqual({ A: '1', C: 'x=y', EMPTY: '' });
  });

  it('refuses a name that is not set, without its value turning up anywhere', () => {
    expect(() => environmentValues(['MISSING'], {})).toThrowError(
      expect.objectContaining({ code: 'environment-missing', exit: 2 }),
    );
  });
});

describe('what a publisher has signed of how a server is started', () => {
  const signed = {
    args: ['--local-timezone', 'UTC'],
    environment: [
      { name: 'LEVEL', required: false, secret: false, default: 'info' },
      { name: 'TOKEN', required: true, secret: true },
    ],
  };
  const started = async (args: readonly string[], values: Readonly<Record<string, string>>) => {
    const {
      args: given,
      environment,
      permissions,
    } = await sessionOptions({
      verified: { server: { name: 'time' }, grounds: { server: signed } } as unknown as Verified,
      home: homeOf({ MCP_BUILD_HOME: '/x' }),
      environment: {},
      permissions: { network: 'none', volumes: [], environment: Object.keys(values) },
      values,
      args,
      say: () => undefined,
      runtime: {} as Runtime,
    });
    return [given, environment, permissions.environment];
  };

  it('holds where the user says nothing else', async () => {
    expect(await started([], {})).toEqual([signed.args, { LEVEL: 'info' }, ['LEVEL']]);
    expect(await started(['--help'], { LEVEL: 'debug' })).toEqual([['--help'], { LEVEL: 'debug' }, ['LEVEL']]);
  });
});

describe('homeOf', () => {
  it('is MCP_BUILD_HOME, else the XDG data folder, and never relative', () => {
    expect(homeOf({ MCP_BUILD_HOME: '/x' }).store).toBe('/x/store');
    expect(homeOf({ XDG_DATA_HOME: '/d', HOME: '/h' }).root).toBe('/d/mcp-build');
    expect(homeOf({ XDG_DATA_HOME: 'relative', HOME: '/h' }).root).toBe('/h/.local/share/mcp-build');
    expect(() => homeOf({ MCP_BUILD_HOME: 'here' })).toThrowError(expect.objectContaining({ code: 'home-invalid' }));
  });
});

describe('folderOf', () => {
  it('is one folder a source, inside the state folder whatever the source is called', async () => {
    const home = homeOf({ MCP_BUILD_HOME: '/x' });
    const sources = ['npm:a', 'npm:@a/b', 'npm:a@^1.2 || *', 'npm:a@*', 'pypi:a', 'pypi:a==1.0', 'pypi:a>=1,<2'];
    const folders = await Promise.all(sources.map((text) => folderOf(text, { home, environment: {} })));
    expect(new Set(folders).size).toBe(folders.length);
    for (const folder of folders) expect(folder).toMatch(/^\/x\/locks\/(npm|pypi)\/[^/.][^/]*\/[^/.][^/]*$/);
  });
});
