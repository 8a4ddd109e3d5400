import { describe, expect, it } from 'vitest';
import { homeOf } from '../../../cli/line/home.ts';
import { folderOf } from '../../../cli/line/source.ts';
import { environmentValues } from '../../../cli/line/start.ts';

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
