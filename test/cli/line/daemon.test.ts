import { describe, expect, test } from 'vitest';
import { type Offers, offers } from '../../../cli/line/daemon.ts';
import { type Prepared, parseConfig, type ServerConfig } from '../../../gateway/index.ts';

const open: Prepared['open'] = () => Promise.reject(new Error('not started here'));
const configured = (servers: Record<string, string>): readonly ServerConfig[] => {
  const mcpServers = Object.fromEntries(
    Object.entries(servers).map(([name, pkg]) => [name, { command: 'npx', args: ['-y', pkg] }]),
  );
  return parseConfig(JSON.stringify({ mcpServers }), 'daemon.json', {}, 'daemon').servers;
};

function of(digests: Record<string, string | Error>): { readonly all: Offers; readonly ended: string[] } {
  const ended: string[] = [];
  const all = offers({
    async prepare({ name }) {
      const found = digests[name];
      if (found instanceof Error) throw found;
      return { open, digest: found };
    },
    end: (name) => ended.push(name),
    say: () => undefined,
  });
  return { all, ended };
}

describe('the servers of a daemon', () => {
  test('are those of its configuration, and no other', async () => {
    const { all } = of({ a: 'sha256:1' });
    await all.reload(configured({ a: 'pkg@1' }));
    expect(await all.find('a')).toEqual({ open, digest: 'sha256:1', most: 34 });
    await expect(all.find('b')).rejects.toMatchObject({ code: 'server-unknown' });
  });

  test('go on over a reload that changes nothing, and end with their configuration, their image, or their verdict', async () => {
    const digests: Record<string, string | Error> = { same: '1', args: '1', image: '1', refused: '1', gone: '1' };
    const { all, ended } = of(digests);
    const before = { same: 'a', args: 'a', image: 'a', refused: 'a', gone: 'a' };
    await all.reload(configured(before));
    expect(ended).toEqual([]);
    digests.image = '2';
    digests.refused = new Error('unsigned');
    const { gone: _gone, ...kept } = before;
    await all.reload(configured({ ...kept, args: 'b', fresh: 'a' }));
    expect(ended.sort()).toEqual(['args', 'gone', 'image', 'refused']);
    expect((await all.find('image')).digest).toBe('2');
    await expect(all.find('refused')).rejects.toThrow('unsigned');
    await expect(all.find('gone')).rejects.toMatchObject({ code: 'server-unknown' });
    expect(all.names()).toContain('fresh');
  });
});
