import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { homeOf } from '../../cli/line/home.ts';
import { recordUse } from '../../cli/line/usage.ts';
import { childEnvironment, cli, cliDone, MAIN } from './harness/cli.ts';
import { describeWith, toolCache } from './harness/needs.ts';
import { root } from './harness/tree.ts';
import { type Server, startDockerRegistry } from './registry-servers.ts';

const run = promisify(execFile);

interface Block {
  readonly lost: readonly string[];
  readonly script: string;
}

/** The runbook of docs/backup.md: what each block says was lost, and its commands. */
function runbook(): readonly Block[] {
  const page = readFileSync(join(root, 'docs/backup.md'), 'utf8');
  return [...page.matchAll(/<!-- runbook: ([^>]+) -->\n+```sh\n([\s\S]*?)```/g)].map(([, lost, script]) => ({
    lost: lost === 'nothing' ? [] : lost!.split(' '),
    script: script!,
  }));
}

let folder: string;
let registry: Server;
let env: Record<string, string>;

/** As it was before any loss, copied back before each block. */
const GOOD = 'good';
const PLACES = ['home', 'config', 'work', 'volume'];

describeWith(['docker-registry', 'age', 'zstd'], 'the recovery runbook', () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mcp-build-backup-'));
    const bin = join(folder, 'bin');
    await mkdir(bin);
    await writeFile(join(bin, 'mcp-build'), `#!/bin/sh\nexec "${process.execPath}" "${MAIN}" "$@"\n`);
    await chmod(join(bin, 'mcp-build'), 0o755);
    registry = await startDockerRegistry(join(folder, 'registry'));
    const at = (name: string) => join(folder, name);
    env = childEnvironment({
      MCP_BUILD_HOME: at('home'),
      MCP_BUILD_PASSPHRASE: 'only for tests',
      XDG_CONFIG_HOME: at('config'),
      BACKUPS: at('backups'),
      REGISTRY: `${registry.host}/team`,
    });
    env.PATH = `${bin}:${env.PATH}`;
    for (const place of PLACES) await mkdir(at(place));
    await mkdir(join(toolCache(), 'downloads'), { recursive: true });
    const options = { cwd: at('work'), env: { ...env, MCP_BUILD_HOME: at('home') } };
    await cliDone(['lock', 'npm:@modelcontextprotocol/server-memory', '--platform', 'host'], options);
    await cliDone(['build', 'server-memory'], options);
    await cliDone(['init'], options);
    await mkdir(at('config/mcp-build'), { recursive: true });
    for (const name of ['policy.yaml', 'mcp-build.pub']) {
      await cp(join(at('home/keys'), name), join(at('config/mcp-build'), name));
    }
    await cliDone(['attest', 'server-memory'], options);
    await cliDone(['sign', 'server-memory'], options);
    await writeFile(at('volume/notes.txt'), 'remember this');
    // As a start of the server with `--volume …:rw` leaves it.
    recordUse(homeOf(options.env), {
      server: { name: 'server-memory' },
      image: { digest: 'sha256:1' },
      permissions: { network: 'none', volumes: [{ path: at('volume'), mode: 'rw' }], environment: [] },
    });
    const backup = ['backup', '--to', at('backups'), '--folder', at('work'), '--volumes', '--json'];
    const made = (await cliDone(backup, options)).json<{ id: string; left: string[] }>();
    expect(made.left).toEqual([]);
    env.SNAPSHOT = made.id;
    await mkdir(at(GOOD));
    for (const place of PLACES) await cp(at(place), join(at(GOOD), place), { recursive: true, verbatimSymlinks: true });
  }, 600_000);

  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  test('has a block for each loss', () => {
    expect(runbook().length).toBeGreaterThanOrEqual(7);
  });

  test.each(runbook().map((block) => [block.lost.join(' ') || 'nothing', block] as const))(
    'works where %s is lost',
    async (_, { lost, script }) => {
      const at = (name: string) => join(folder, name);
      for (const place of PLACES) {
        await rm(at(place), { recursive: true, force: true });
        await cp(join(at(GOOD), place), at(place), { recursive: true, verbatimSymlinks: true });
      }
      for (const place of lost) {
        if (place === 'registry') await rm(at('registry/data/docker'), { recursive: true, force: true });
        else await rm(at(place), { recursive: true });
      }
      // Each command must succeed: a runbook that goes on after an error makes things worse.
      await run('sh', ['-ec', script], { cwd: folder, env });
      expect(await readFile(at('volume/notes.txt'), 'utf8')).toBe('remember this');
      for (const kept of ['work/lockfiles', 'config/mcp-build', 'home/keys/mcp-build.key', 'home/store/index.json']) {
        expect(existsSync(at(kept)), kept).toBe(true);
      }
      await cliDone(['verify', 'server-memory'], { cwd: at('work'), env });
    },
  );
  test('a schedule takes backups and checks them, and needs no secret', async () => {
    const at = (name: string) => join(folder, name);
    const { MCP_BUILD_PASSPHRASE: _secret, ...without } = env;
    const options = { cwd: at('work'), env: { ...without, MCP_BUILD_PASSPHRASE: undefined } };
    const words = ['backup', 'schedule', '--to', at('backups'), '--include', at('volume'), '--keep', '50', '--json'];
    const { files, cron } = (await cliDone(words, options)).json<{ files: { text: string }[]; cron: string }>();
    expect(files[0]?.text).toContain(`backup --to ${at('backups')} --include ${at('volume')} --keep 50`);
    const count = async () =>
      (await cliDone(['backup', 'list', at('backups'), '--json'], options)).json<{ snapshots: object[] }>().snapshots
        .length;
    const before = await count();
    // As cron does, which gives a command next to nothing.
    const command = cron.replace(/^(\S+ ){5}/, '').replaceAll('\\%', '%');
    await run('sh', ['-ec', command], { cwd: '/', env: { PATH: '/usr/bin:/bin', HOME: at('home') } });
    expect(await count()).toBe(before + 1);
    const some = await cliDone(['backup', '--to', at('backups'), '--json'], options);
    expect(some.json<{ left: string[] }>().left).toEqual([at('volume')]);
    expect(some.stderr).toContain(`${at('volume')}; take it along with --volumes`);
    // Where nobody has backed up to, it would wait for a passphrase every night.
    const refused = await cli(['backup', 'schedule', '--to', at('elsewhere')], options);
    expect([refused.code, refused.stderr.includes('backup-place-missing')]).toEqual([2, true]);
  });

  test('age itself opens what was written', async () => {
    const at = (name: string) => join(folder, name);
    // age asks for a passphrase on a terminal only, so the identity is opened here; what it opens is age's own format.
    const { openIdentity } = await import('../../cli/line/backup/seal.ts');
    const sealed = at('backups/identity.age');
    const identity = await openIdentity(await readFile(sealed), 'only for tests', sealed);
    await writeFile(at('key.txt'), `${identity}\n`, { mode: 0o600 });
    const list = await run('age', ['-d', '-i', at('key.txt'), at(`backups/snapshots/${env.SNAPSHOT}.json.age`)]);
    const { archives } = JSON.parse(list.stdout) as { archives: { part: string; file: string }[] };
    const volume = archives.find(({ part }) => part === at('volume'))!;
    const script = 'age -d -i "$1" "$2" | zstd -dc | tar xO notes.txt';
    const out = await run('sh', ['-c', script, 'sh', at('key.txt'), join(at('backups/archives'), volume.file)]);
    expect(out.stdout).toBe('remember this');
  });
});
