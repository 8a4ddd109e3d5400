import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type AuditLog,
  activity,
  type Gateway,
  type Identity,
  metrics,
  openAuditLog,
  pages,
  recorder,
} from '../../../gateway/index.ts';
import { type Running, runGateway, type Setup } from '../gateway.ts';

export interface Watched extends Running {
  /** The folder of the audit log. */
  readonly folder: string;
  readonly log: AuditLog;
  /** Every record so far. */
  records(): Promise<readonly Record<string, unknown>[]>;
}

/** A gateway in front of fakes, with everything that watches it. @param audit the folder of its log; one of its own where undefined */
export async function runWatched(
  setup: Setup = {},
  tokens = new Map<string, Identity>(),
  audit?: string,
): Promise<Watched> {
  const folder = await mkdtemp(join(tmpdir(), 'watched-'));
  const log = await openAuditLog({ folder: audit ?? join(folder, 'audit') });
  const counted = metrics();
  const seen = activity();
  const observer = recorder({ metrics: counted, log, also: [seen] });
  const held: { gateway?: Gateway } = {};
  const running = await runGateway({
    ...setup,
    options: {
      tokens: () => tokens,
      observer,
      pages: pages({
        metrics: counted,
        activity: seen,
        log,
        servers: () => held.gateway?.servers() ?? [],
        control: async (name, action) => (await held.gateway?.control(name, action)) === true,
        say: () => undefined,
      }),
      ...setup.options,
    },
  });
  held.gateway = running.gateway;
  return {
    ...running,
    folder: log.folder,
    log,
    async records() {
      const { readdir, readFile } = await import('node:fs/promises');
      const names = (await readdir(log.folder)).filter((name) => name.endsWith('.jsonl')).sort();
      const texts = await Promise.all(names.map((name) => readFile(join(log.folder, name), 'utf8')));
      return texts
        .join('')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    },
    async [Symbol.asyncDispose]() {
      await running.gateway.close();
      await log.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
