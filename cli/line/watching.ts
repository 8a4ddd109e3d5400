import { join } from 'node:path';
import { z } from 'zod';
import { McpBuildError } from '../../errors/index.ts';
import { readBounded, writeAtomic } from '../../files/index.ts';
import {
  type Activity,
  type AuditLog,
  activity,
  exporter,
  type Known,
  type Metrics,
  metrics,
  type Observer,
  openAuditLog,
  patterns,
  recorder,
  sampled,
  type TracingConfig,
  tracer,
  type Watcher,
  webhook,
} from '../../gateway/index.ts';
import type { Home } from './home.ts';

export interface WatchingOptions {
  readonly home: Home;
  /** Of the audit log: the first that nobody else writes to; none for no log. */
  readonly folders: readonly string[];
  /** Files of the audit log that are kept; all where undefined. */
  readonly keep: number | undefined;
  /** Where unusual things are told. */
  readonly alerts: URL | undefined;
  readonly say: (line: string) => void;
  /** Where traces go; nowhere without. */
  readonly traces: TracingConfig | undefined;
  /** See everything, too. */
  readonly also: readonly Watcher[];
}

export interface Watching {
  readonly observer: Observer;
  readonly metrics: Metrics;
  readonly activity: Activity;
  readonly log: AuditLog | undefined;
  readonly spansDropped: (() => number) | undefined;
  close(): Promise<void>;
}

const knownSchema = z.strictObject({
  servers: z.record(z.string().max(100), z.strictObject({ since: z.number(), tools: z.array(z.string()).max(1_000) })),
});

const LIMIT = 64 * 1024 * 1024;
/** What was learnt is written at most so often, in milliseconds. */
const PAUSE = 5_000;
/** An end of the gateway waits so long for alerts on their way, in milliseconds. */
const LAST_WORDS = 2_000;

/** @throws McpBuildError `audit-log-busy`, `audit-log-broken`, `audit-log-unwritable` */
export async function openWatching({
  home,
  folders,
  keep,
  alerts,
  say,
  also,
  traces,
}: WatchingOptions): Promise<Watching> {
  const log = folders.length === 0 ? undefined : await firstFree(folders, keep);
  const counted = metrics();
  const seen = activity();
  const hook = alerts && webhook({ url: alerts, say });
  const file = join(home.root, 'gateway', 'known.json');
  let timer: NodeJS.Timeout | undefined;
  const held: { observer?: Observer } = {};

  const save = async () => {
    clearTimeout(timer);
    timer = undefined;
    await writeAtomic(file, `${JSON.stringify(unusual.known())}\n`, 0o600);
  };
  const unusual = patterns({
    ...(await known(file)),
    tell(found) {
      say(`${found.server}: unusual: ${found.what}`);
      hook?.tell({ ...found, at: new Date().toISOString() });
      held.observer?.incident({ kind: 'unusual', server: found.server, pattern: found.pattern, what: found.what });
    },
    learnt() {
      timer ??= setTimeout(() => {
        save().catch((error: Error) => say(`what was learnt of the servers can't be kept: ${error.message}`));
      }, PAUSE).unref();
    },
  });
  const sent = traces && exporter(traces, traces.resource, say);
  const followed =
    sent &&
    tracer({
      export: sent.add,
      parentBased: traces.sampler.parentBased,
      sample: (trace) => sampled(trace, traces.sampler.ratio),
    });
  const observer = recorder({ metrics: counted, log, also: [seen, unusual, ...also], tracer: followed });
  held.observer = observer;
  return {
    observer,
    metrics: counted,
    activity: seen,
    log,
    spansDropped: sent?.dropped,
    async close() {
      await sent?.close();
      if (timer) await save().catch(() => undefined);
      await Promise.race([hook?.settled(), new Promise((resolve) => setTimeout(resolve, LAST_WORDS).unref())]);
      await log?.close();
    },
  };
}

async function firstFree(folders: readonly string[], keep: number | undefined): Promise<AuditLog> {
  for (const folder of folders) {
    try {
      return await openAuditLog({ folder, ...(keep === undefined ? {} : { keepSegments: keep }) });
    } catch (error) {
      const busy = error instanceof McpBuildError && error.code === 'audit-log-busy';
      if (!busy || folder === folders.at(-1)) throw error;
    }
  }
  throw new Error('no folder was given');
}

/** Lost, it is learnt anew: that costs a day without one kind of alert, and no more. */
async function known(file: string): Promise<{ readonly known?: Known }> {
  try {
    return { known: knownSchema.parse(JSON.parse((await readBounded(file, LIMIT)).toString('utf8'))) };
  } catch {
    return {};
  }
}

/** @throws McpBuildError `webhook-invalid`; what is given may hold a secret, so it isn't repeated */
export function webhookAddress(text: string | undefined): URL | undefined {
  if (text === undefined || text === '') return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const loopback = url !== undefined && /^(?:localhost|127\.[\d.]+|\[::1\])$/.test(url.hostname);
  if (url?.protocol === 'https:' || (url?.protocol === 'http:' && loopback)) return url;
  throw new McpBuildError({
    code: 'webhook-invalid',
    message: 'The address for alerts is not an https address',
    fix: 'Set MCP_BUILD_ALERT_WEBHOOK to an address that begins with https://.',
    exit: 2,
  });
}
