import { fileURLToPath } from 'node:url';
import { keepHeapSmall } from '../../../cli/line/heap.ts';
import { openGateway, parseConfig } from '../../../gateway/index.ts';
import { processChannel } from '../../gateway/gateway.ts';

/** `ours.ts PORT [ECHO]`: our gateway with a token and a tool filter, in front of a plain child process. */
const config = {
  mcpProxy: { addr: `127.0.0.1:${process.argv[2] ?? 0}`, options: { authTokens: ['bench-token'] } },
  mcpServers: {
    echo: { command: 'npx', args: ['echo'], options: { toolFilter: { mode: 'block', list: ['other'] } } },
  },
};
const echo = process.argv[3] ?? fileURLToPath(new URL('./echo.ts', import.meta.url));
keepHeapSmall();
const gateway = await openGateway({
  config: parseConfig(JSON.stringify(config), 'bench', {}),
  prepare: async () => ({ open: processChannel([process.execPath, '--no-warnings', echo]) }),
  tokens: () => new Map(),
  anonymous: false,
  say: () => undefined,
});
await gateway.settled;
console.log(gateway.url);
