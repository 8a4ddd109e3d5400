import { describe, expect, it } from 'vitest';
import { understand } from '../../../cli/clients/understand.ts';

const words = (line: string) => line.split(' ');

describe('understand', () => {
  it.each([
    ['npx -y @modelcontextprotocol/server-memory', 'npm:@modelcontextprotocol/server-memory', []],
    ['npx @scope/x@1.2.3 --flag value', 'npm:@scope/x@1.2.3', ['--flag', 'value']],
    ['npx --yes -q x@latest -- -y', 'npm:x', ['-y']],
    ['npx -yq x@^1 a', 'npm:x@^1', ['a']],
    ['npx --yes=true x', 'npm:x', []],
    ['npx -y --package=@scope/server server a', 'npm:@scope/server', ['a']],
    ['npm exec --yes -- x a', 'npm:x', ['a']],
    ['npm x x', 'npm:x', []],
    ['pnpm dlx x', 'npm:x', []],
    ['pnpx x@2', 'npm:x@2', []],
    ['yarn dlx -q x', 'npm:x', []],
    ['bunx --bun x', 'npm:x', []],
    ['bun x x', 'npm:x', []],
    ['uvx mcp-server-time --local-timezone=Europe/Berlin', 'pypi:mcp-server-time', ['--local-timezone=Europe/Berlin']],
    ['uvx mcp_server.fetch@1.0', 'pypi:mcp-server-fetch==1.0', []],
    ['uvx mcp-server-fetch@latest', 'pypi:mcp-server-fetch', []],
    ['uvx mcp-server-git==2.1 --repository /r', 'pypi:mcp-server-git==2.1', ['--repository', '/r']],
    ['uvx --refresh -q --from x[cli]>=1,<2 x', 'pypi:x[cli]>=1,<2', []],
    ['uv tool run x -v', 'pypi:x', ['-v']],
    ['pipx run --no-cache x==1 a', 'pypi:x==1', ['a']],
    ['pipx run --spec x==1 x a', 'pypi:x==1', ['a']],
    ['/opt/homebrew/bin/npx -y x', 'npm:x', []],
    ['/home/me/.local/bin/uvx x', 'pypi:x', []],
    ['cmd /c npx -y x a', 'npm:x', ['a']],
    ['cmd.exe /d /C npx.cmd -y x', 'npm:x', []],
    ['env A=b npx x', 'npm:x', []],
    ['/usr/bin/env uvx x', 'pypi:x', []],
    ['node /usr/lib/node_modules/npm/bin/npx-cli.js -y x a', 'npm:x', ['a']],
    ['docker run -i --rm mcp/time --local-timezone=UTC', 'pypi:mcp-server-time', ['--local-timezone=UTC']],
    ['docker run -i --rm node:22-alpine npx -y x@1 a', 'npm:x@1', ['a']],
    ['podman run -it --entrypoint uvx registry.example.test/astral-sh/uv:latest x a', 'pypi:x', ['a']],
  ])('%s', (line, source, args) => {
    const [command = '', ...rest] = words(line);
    expect(understand(command, rest)).toMatchObject({ kind: 'server', wanted: { source, args } });
  });

  it.each([
    ['npx -y --package=@scope/many many-server a', 'many-server'],
    ['npx -p x other', 'other'],
    ['uvx --from x other a', 'other'],
    ['pipx run --spec x other', 'other'],
  ])('%s starts its command %s', (line, bin) => {
    const [command = '', ...rest] = words(line);
    expect(understand(command, rest)).toMatchObject({ kind: 'server', wanted: { bin } });
  });

  it.each([['npx -y --package=@scope/server server'], ['uvx --from mcp_server_x mcp-server-x']])(
    '%s names no other command',
    (line) => {
      const [command = '', ...rest] = words(line);
      expect(understand(command, rest)).not.toHaveProperty('wanted.bin');
    },
  );

  it('reads Windows’ paths and a whole line in one word', () => {
    expect(understand('C:\\Program Files\\nodejs\\npx.cmd', ['-y', 'x'])).toMatchObject({
      wanted: { source: 'npm:x' },
    });
    expect(understand('C:\\Users\\me\\.local\\bin\\uvx.exe', ['x'])).toMatchObject({ wanted: { source: 'pypi:x' } });
    expect(understand('cmd', ['/c', 'npx -y x'])).toMatchObject({ wanted: { source: 'npm:x' } });
    expect(understand('npx -y x --a', [])).toMatchObject({ wanted: { source: 'npm:x', args: ['--a'] } });
  });

  it('keeps what docker run gives a container, at the paths outside', () => {
    const line =
      'run -i --rm -e TOKEN -eLEVEL=debug -v /home/me/notes:/data:ro --mount type=bind,src=/srv/a,dst=/projects/a --mount type=bind,src=/srv/b,dst=/projects/b,ro -v cache:/cache --network host mcp/filesystem /data/x /projects /other';
    expect(understand('docker', words(line))).toMatchObject({
      kind: 'server',
      wanted: {
        source: 'npm:@modelcontextprotocol/server-filesystem',
        args: ['/home/me/notes/x', '/srv/a', '/srv/b', '/other'],
        passed: ['TOKEN'],
        env: { LEVEL: 'debug' },
        volumes: ['/home/me/notes', '/srv/a:rw', '/srv/b'],
        notes: [expect.stringContaining('cache'), expect.stringContaining('host')],
      },
    });
  });

  it.each([
    ['bash -c npx', 'runs-shell'],
    ['/bin/sh -lc npx', 'runs-shell'],
    ['powershell.exe -Command npx', 'runs-shell'],
    ['wsl.exe npx x', 'runs-shell'],
    ['cmd /c npx -y x & calc', 'runs-shell'],
    ['cmd /k npx', 'runs-shell'],
    ['npx -c echo', 'runs-shell'],
    ['npx -y x@git+https://example.test/x.git', 'source-invalid'],
    ['npx -y ./local', 'source-invalid'],
    ['npx user/repo', 'source-invalid'],
    ['npx', 'entry-invalid'],
    ['uvx --from git+https://example.test/x x', 'source-invalid'],
    ['uvx', 'entry-invalid'],
    ['npx --registry https://example.test x', 'other-index'],
    ['uvx --index-url=https://example.test x', 'other-index'],
    ['uvx --with pandas x', 'extra-packages'],
    ['npx -p a -p b c', 'extra-packages'],
    ['npx --some-new-flag x', 'launcher-unknown-flag'],
    ['uvx -yz x', 'launcher-unknown-flag'],
    ['node /srv/server.js', 'runs-local-program'],
    ['python -m mcp_server_time', 'runs-local-program'],
    ['uv --directory /srv run server.py', 'runs-local-program'],
    ['docker compose up', 'runs-local-program'],
    ['docker run -i example.test/own/server', 'foreign-image'],
    ['docker run --entrypoint /x mcp/time', 'foreign-image'],
    ['docker run --privileged mcp/time', 'permission-refused'],
    ['docker run --pid=host mcp/time', 'permission-refused'],
    ['docker run -v /var/run/docker.sock:/var/run/docker.sock mcp/time', 'permission-refused'],
    ['docker run node:22 sh -c npx', 'runs-shell'],
    ['env env env env env env npx x', 'entry-invalid'],
  ])('%s is refused: %s', (line, code) => {
    const [command = '', ...rest] = words(line);
    expect(understand(command, rest)).toMatchObject({ kind: 'refused', code });
  });

  it('knows its own command', () => {
    expect(understand('mcp-build', ['run', 'npm:x'])).toEqual({ kind: 'already' });
    expect(understand('/bin/node', ['/opt/mcp-build/cli/main.js', 'run', 'npm:x'])).toEqual({ kind: 'already' });
  });

  it('does not take a path with blanks for a command line', () => {
    expect(understand('/opt/my tools/npx -y', [])).toMatchObject({ kind: 'refused' });
    expect(understand('npx -y x; rm -rf y', [])).toMatchObject({ kind: 'refused' });
  });
});
