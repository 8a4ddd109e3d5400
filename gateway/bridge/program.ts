import { setFlagsFromString } from 'node:v8';
import { openBridge } from './bridge.ts';
import { childChannel } from './child.ts';

// The first process of a container: `node bridge.mjs COMMAND…`. `.ci/bridge.ts` makes one file of it, which is a layer of images locked for HTTP.

// It lives as long as its server: room for young objects that grows with the first burst is never given back.
setFlagsFromString('--semi-space-growth-factor=1');

const OWN = 'MCP_BRIDGE_';
const say = (line: string) => process.stderr.write(`mcp-bridge: ${line}\n`);

function fail(line: string): never {
  say(line);
  process.exit(2);
}

function number(name: string, usual: number, most: number): number {
  const text = process.env[`${OWN}${name}`] ?? '';
  if (text === '') return usual;
  const value = Number(text);
  if (/^\d{1,7}$/.test(text) && value <= most) return value;
  return fail(`${OWN}${name} "${text.slice(0, 40)}" is not a whole number up to ${most}`);
}

function sessions(): 'auto' | 'shared' | 'per-client' {
  const text = process.env[`${OWN}SESSIONS`] ?? 'auto';
  if (text === 'auto' || text === 'shared' || text === 'per-client') return text;
  return fail(`${OWN}SESSIONS "${text.slice(0, 40)}" is not auto, shared or per-client`);
}

const command = process.argv.slice(2);
if (command.length === 0) fail('it was given no command');

const environment = Object.fromEntries(
  Object.entries(process.env).filter((pair): pair is [string, string] => !pair[0].startsWith(OWN)),
);
const bridge = await openBridge({
  open: childChannel(command, environment),
  port: number('PORT', 8080, 65_535),
  hosts: (process.env[`${OWN}HOSTS`] ?? '').split(',').filter((host) => host !== ''),
  sessions: sessions(),
  servers: number('SERVERS', 8, 1000),
  say,
}).catch((error: unknown) => fail(error instanceof Error ? error.message : String(error)));
say(`${bridge.url}/mcp`);

// A cluster goes on sending for some seconds after it has said that it will stop.
const least = number('DRAIN', 3, 600) * 1000;
let ending = false;
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    if (ending || signal === 'SIGINT') void bridge.close().finally(() => process.exit(0));
    else void bridge.drain(least, least + 17_000).finally(() => process.exit(0));
    ending = true;
  });
}
