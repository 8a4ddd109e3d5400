import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  activity,
  exporter,
  metrics,
  openAuditLog,
  openGateway,
  parseConfig,
  patterns,
  recorder,
  type TracingConfig,
  tracer,
  tracingConfig,
} from '../../../gateway/index.ts';
import { processChannel } from '../../gateway/gateway.ts';

/** `watched.ts PORT FOLDER WHAT`: the gateway of `ours.ts` with what watches it: `none`, `metrics`, `all` (audit log, figures, patterns) or `traces` as well. */
const [port = '0', folder = '', what = 'all'] = process.argv.slice(2);
const log = what === 'all' || what === 'traces' ? await openAuditLog({ folder: join(folder, 'audit') }) : undefined;
const config = what === 'traces' ? (tracingConfig(process.env) as TracingConfig) : undefined;
const sent = config && exporter(config, config.resource, () => undefined);
const observer = recorder({
  metrics: metrics(),
  log,
  also: [activity(), patterns({ tell: () => undefined })],
  tracer: sent && tracer({ export: sent.add, parentBased: true, sample: () => true }),
});
const options = { authTokens: ['bench-token'] };
const gateway = await openGateway({
  config: parseConfig(
    JSON.stringify({
      mcpProxy: { addr: `127.0.0.1:${port}`, options },
      mcpServers: {
        echo: { command: 'npx', args: ['echo'], options: { toolFilter: { mode: 'block', list: ['other'] } } },
      },
    }),
    'bench',
    {},
  ),
  prepare: async () => ({
    open: processChannel([process.execPath, '--no-warnings', fileURLToPath(new URL('./echo.ts', import.meta.url))]),
    digest: `sha256:${'ab'.repeat(32)}`,
  }),
  tokens: () => new Map(),
  anonymous: false,
  say: () => undefined,
  ...(what === 'none' ? {} : { observer }),
});
await gateway.settled;
console.log(gateway.url);
