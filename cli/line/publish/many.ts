import type { McpBuildError } from '../../../errors/index.ts';
import { selectServers } from '../manifest/index.ts';
import { jobOf, type PublishSettings } from './job.ts';
import { mounts } from './mounts.ts';
import { type Published, publishServer, type Step } from './publish.ts';
import { type Shard, shardOf } from './shard.ts';

/** What became of one server of several. */
export type Outcome = {
  readonly name: string;
  readonly version?: string;
  /** Registry and repository, without a tag. */
  readonly image?: string;
  /** Of work, in milliseconds; waiting for other servers included. */
  readonly took: number;
} & (Published | { readonly status: 'failed'; readonly error: McpBuildError });

export interface Together {
  readonly settings: PublishSettings;
  readonly names: readonly string[];
  /** Only these of them. */
  readonly shard?: Shard;
  /** Servers at a time. */
  readonly parallel: number;
  /** Turns whatever was thrown into something to tell. */
  readonly explain: (error: unknown) => McpBuildError;
  readonly onStep: (name: string, step: Step, detail: string | undefined) => void;
  readonly onDone: (outcome: Outcome) => void;
  readonly say: (line: string) => void;
}

/** Publishes servers side by side. One that fails doesn't keep the others; all are told, in the manifest's order. @throws McpBuildError `server-unknown` */
export async function publishServers(together: Together): Promise<readonly Outcome[]> {
  const { settings, names, shard, parallel, explain, onStep, onDone, say } = together;
  const selected = selectServers(settings.manifest, names);
  const entries = shard ? shardOf(selected, shard) : selected;
  const outcomes: Outcome[] = [];
  const shared = mounts();
  const queue = [...entries.entries()];
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [at, entry] = next;
      const started = performance.now();
      let known: Pick<Outcome, 'version' | 'image'> = {};
      const told = (): Pick<Outcome, 'name' | 'version' | 'image' | 'took'> => ({
        name: entry.name,
        ...known,
        took: Math.round(performance.now() - started),
      });
      try {
        const job = await jobOf(entry, settings);
        known = { version: job.folder.lock.source.version, image: job.image };
        const done = await publishServer(job, {
          settings,
          mounts: shared,
          say: (line) => say(`${entry.name}: ${line}`),
          step: (step, detail) => onStep(entry.name, step, detail),
        });
        outcomes[at] = { ...told(), ...done };
      } catch (error) {
        outcomes[at] = { ...told(), status: 'failed', error: explain(error) };
      }
      onDone(outcomes[at]!);
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, Math.min(parallel, entries.length)) }, worker));
  return outcomes;
}
