import { keepHeapSmall } from '../../../cli/line/heap.ts';
import { containerChannel, openGateway, parseConfig } from '../../../gateway/index.ts';
import { openLayout } from '../../../registry/index.ts';
import { docker, parseEndpoint, parsePermissions, reaper } from '../../../runner/index.ts';

/** `contained.ts PORT {host, store, state, image}`: the gateway of `ours.ts`, with the server in a container as `serve` starts one. */
const [port = '0', given = '{}'] = process.argv.slice(2);
const { host, store, state, image } = JSON.parse(given);
const config = {
  mcpProxy: { addr: `127.0.0.1:${port}`, options: { authTokens: ['bench-token'] } },
  mcpServers: {
    echo: { command: 'npx', args: ['echo'], options: { toolFilter: { mode: 'block', list: ['other'] } } },
  },
};
const open = containerChannel({
  session: {
    runtime: docker(parseEndpoint(host, process.env)),
    store: await openLayout(store),
    image,
    server: { name: 'echo', version: '1.0.0' },
    permissions: parsePermissions({}),
    args: [],
    environment: {},
    reaper: reaper({ folder: `${state}/run`, idle: 3_000 }),
    machine: {
      home: state,
      state,
      run: `${state}/run`,
      environment: process.env,
      uid: process.getuid?.(),
      gid: process.getgid?.(),
    },
    say: (line) => process.stderr.write(`${line}\n`),
  },
  logs: `${state}/logs`,
});
keepHeapSmall();
const gateway = await openGateway({
  config: parseConfig(JSON.stringify(config), 'bench', {}),
  prepare: async () => ({ open }),
  tokens: () => new Map(),
  anonymous: false,
  say: (line) => process.stderr.write(`${line}\n`),
});
await gateway.settled;
console.log(gateway.url);
process.once('SIGTERM', () => void gateway.close().then(() => process.exit(0)));
