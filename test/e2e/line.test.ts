import { chown, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Dockerd, testDocker } from './dockerd.ts';
import { cliDone, MAIN, type Workplace, workplace } from './harness/cli.ts';
import { CLIENTS, type ServerCommand, type Tool, withClient } from './harness/clients.ts';
import { describeWith } from './harness/needs.ts';

/**
 * What the users of `npx -y` and `uvx` get when they replace them: the same tools with the same descriptions and schemas, the same
 * answers, through the clients that applications are built on.
 */
interface Case {
  readonly source: string;
  /** For `mcp-build run`, before the `--`. */
  readonly flags?: (context: Context) => readonly string[];
  /** For the server. */
  readonly args?: (context: Context) => readonly string[];
  readonly env?: (context: Context) => Readonly<Record<string, string>>;
  readonly calls: (context: Context) => readonly Call[];
}

interface Call {
  readonly tool: string;
  readonly args: Readonly<Record<string, unknown>>;
}

interface Context {
  /** A folder of the machine that the server may be given. */
  readonly folder: string;
  /** A page served on the bridge's gateway address: reachable from the machine and, with a network, from a container. */
  readonly page: string;
}

const CASES: readonly Case[] = [
  {
    source: 'npm:@modelcontextprotocol/server-everything',
    calls: () => [
      { tool: 'echo', args: { message: 'grüße, 世界' } },
      { tool: 'get-sum', args: { a: 2, b: 40 } },
      { tool: 'get-structured-content', args: { location: 'Chicago' } },
      { tool: 'get-tiny-image', args: {} },
    ],
  },
  {
    source: 'npm:@modelcontextprotocol/server-filesystem',
    flags: ({ folder }) => ['--volume', `${folder}:rw`],
    args: ({ folder }) => [folder],
    calls: ({ folder }) => [
      { tool: 'write_file', args: { path: join(folder, 'new.txt'), content: 'written\n' } },
      { tool: 'read_text_file', args: { path: join(folder, 'old.txt') } },
      { tool: 'list_directory', args: { path: folder } },
    ],
  },
  {
    source: 'npm:@modelcontextprotocol/server-memory',
    flags: ({ folder }) => ['--volume', `${folder}:rw`, '--env', 'MEMORY_FILE_PATH'],
    env: ({ folder }) => ({ MEMORY_FILE_PATH: join(folder, 'memory.jsonl') }),
    calls: () => [
      {
        tool: 'create_entities',
        args: { entities: [{ name: 'Ada', entityType: 'person', observations: ['counts'] }] },
      },
      { tool: 'read_graph', args: {} },
    ],
  },
  {
    source: 'pypi:mcp-server-time',
    args: () => ['--local-timezone', 'Europe/Berlin'],
    calls: () => [
      {
        tool: 'convert_time',
        args: { source_timezone: 'Asia/Kolkata', time: '09:30', target_timezone: 'America/New_York' },
      },
    ],
  },
  {
    source: 'pypi:mcp-server-fetch',
    flags: () => ['--allow-net', 'all'],
    args: () => ['--ignore-robots-txt', '--allow-private-ips'],
    calls: ({ page }) => [{ tool: 'fetch', args: { url: page, raw: true } }],
  },
];

describeWith(['docker', 'npx', 'uvx', 'mcp-inspector'], 'a server through mcp-build and through npx or uvx', () => {
  let docker: Dockerd;
  let place: Workplace;
  let server: http.Server;
  let page: string;

  beforeAll(async () => {
    docker = await testDocker();
    place = await workplace();
    const gateway = await bridgeGateway(docker);
    server = http.createServer((_request, response) => {
      response.setHeader('content-type', 'text/plain; charset=utf-8');
      response.end('A page for the test: ✓\n');
    });
    await new Promise<void>((resolve) => server.listen(0, gateway, resolve));
    page = `http://${gateway}:${(server.address() as AddressInfo).port}/page.txt`;
  });

  afterAll(async () => {
    server?.close();
    await place?.[Symbol.asyncDispose]();
    await docker?.stop();
  });

  describe.each(CASES)('$source', (entry) => {
    /** Locked once, so that the peer is asked for the same version. */
    let version: string;

    beforeAll(async () => {
      const locked = await cliDone(['lock', entry.source, '--json'], place);
      version = locked.json<{ version: string }>().version;
    });

    test.each(CLIENTS)('%s sees the same tools and gets the same answers', async (client) => {
      const ours = await observe(client, entry, 'mcp-build');
      const theirs = await observe(client, entry, 'peer');
      expect(ours.tools.length).toBeGreaterThan(0);
      expect(ours.tools).toEqual(theirs.tools);
      expect(ours.answers).toEqual(theirs.answers);
      expect(ours.files).toEqual(theirs.files);
      for (const answer of ours.answers) expect(answer).not.toHaveProperty('isError', true);
    });

    async function observe(client: (typeof CLIENTS)[number], of: Case, through: 'mcp-build' | 'peer') {
      // The same path for both, or every answer that names it would differ.
      const folder = await freshFolder();
      try {
        const context: Context = { folder, page };
        return await withClient(client, command(of, context, through), async (session) => {
          const tools = await session.tools();
          const answers: unknown[] = [];
          // The Inspector starts the server anew for each request; some servers wait a minute for what it doesn't answer.
          const calls = client === 'inspector' ? of.calls(context).slice(0, 1) : of.calls(context);
          for (const call of calls) answers.push(steady(await session.call(call.tool, call.args), folder));
          const written = await readFile(join(folder, 'new.txt'), 'utf8').catch(() => null);
          return { tools: steady(byName(tools), folder) as readonly Tool[], answers, files: written };
        });
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    }

    function command(of: Case, context: Context, through: 'mcp-build' | 'peer'): ServerCommand {
      const args = of.args?.(context) ?? [];
      const [ecosystem, name] = [
        of.source.slice(0, of.source.indexOf(':')),
        of.source.slice(of.source.indexOf(':') + 1),
      ];
      const env = { ...place.env, ...of.env?.(context), DOCKER_HOST: docker.host };
      if (through === 'mcp-build') {
        const flags = of.flags?.(context) ?? [];
        const tail = args.length > 0 ? ['--', ...args] : [];
        return { command: process.execPath, args: [MAIN, 'run', of.source, ...flags, ...tail], cwd: place.cwd, env };
      }
      return ecosystem === 'npm'
        ? { command: 'npx', args: ['-y', `${name}@${version}`, ...args], cwd: place.cwd, env }
        : { command: 'uvx', args: [`${name}@${version}`, ...args], cwd: place.cwd, env };
    }
  });
});

/** The machine's address on the daemon's default bridge. Not from the interfaces: a bridge without containers is not listed there. */
async function bridgeGateway({ host }: Dockerd): Promise<string> {
  const body = await new Promise<string>((resolve, reject) => {
    const request = http.get({ socketPath: host.replace(/^unix:\/\//, ''), path: '/networks/bridge' }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () => resolve(text));
    });
    request.on('error', reject);
  });
  const { IPAM } = JSON.parse(body) as { IPAM: { Config: readonly { Gateway?: string; Subnet?: string }[] } };
  const gateway = IPAM.Config.find(({ Gateway }) => Gateway?.includes('.'))?.Gateway;
  if (!gateway) throw new Error(`the daemon's bridge has no gateway: ${body}`);
  return gateway;
}

async function freshFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mcp-build-line-'));
  await writeFile(join(folder, 'old.txt'), 'was here\n');
  // A container never runs as root: where root runs the tests, the folder is some user's, as it would be on a real machine.
  if (process.getuid?.() === 0) await chown(folder, 1000, 1000);
  return folder;
}

function byName(tools: readonly Tool[]): readonly Tool[] {
  return [...tools].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Without what differs between any two sessions: the folder's random name, and a server's note about itself. */
function steady(value: unknown, folder: string): unknown {
  return JSON.parse(JSON.stringify(value).replaceAll(folder, '/folder'), (key, inner: unknown) =>
    key === '_meta' ? undefined : inner,
  );
}
