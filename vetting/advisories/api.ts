import { z } from 'zod';
import { McpBuildError } from '../../errors/index.ts';
import type { Package } from '../tree.ts';
import type { Advisories } from './advisories.ts';
import { cvss } from './cvss.ts';
import { type Identity, identityOf } from './match.ts';
import type { Advisory } from './record.ts';
import { reduce } from './reduce.ts';
import { advisoriesOf, keyOf } from './store.ts';

/** Asks the API: a path below its address, and what to post. Gives what was answered, parsed. @throws McpBuildError `advisories-unavailable` */
export type AskApi = (path: string, body?: object) => Promise<unknown>;

/** https://google.github.io/osv.dev/post-v1-querybatch/: at most so many queries at a time. */
const BATCH = 1000;
const PAGES = 20;
/** Records that are read for one audit; more than any image has. */
const RECORDS = 5000;
const PARALLEL = 8;

const answerSchema = z.object({
  results: z.array(
    z
      .object({
        vulns: z.array(z.object({ id: z.string().min(1).max(300) })).optional(),
        next_page_token: z.string().max(10_000).optional(),
      })
      .nullable()
      .transform((value) => value ?? {}),
  ),
});

/**
 * Asks OSV's batch API which records name the packages, reads each, and matches them here by the same rules as an export's.
 * @throws McpBuildError `advisories-unavailable` (exit 5), also where it answers something else
 */
export async function onlineAdvisories(
  packages: readonly Pick<Package, 'kind' | 'name' | 'version' | 'files'>[],
  ask: AskApi,
  now: Date,
): Promise<Advisories> {
  const identities = new Map<string, Identity>();
  for (const one of packages) {
    const identity = identityOf(one);
    if (identity) identities.set(`${keyOf(identity)}@${identity.version}`, identity);
  }
  const ids = new Set<string>();
  const all = [...identities.values()];
  for (let at = 0; at < all.length; at += BATCH) {
    let open = all.slice(at, at + BATCH).map((identity) => queryOf(identity));
    for (let page = 0; open.length > 0; page += 1) {
      if (page >= PAGES) throw unavailable('pages without end');
      const parsed = answerSchema.safeParse(await ask('v1/querybatch', { queries: open }));
      // A shorter list would leave packages unasked, and unasked must not read as clean.
      if (!parsed.success || parsed.data.results.length !== open.length)
        throw unavailable('answers something else than was asked');
      const more: object[] = [];
      for (const [index, result] of parsed.data.results.entries()) {
        for (const { id } of result.vulns ?? []) ids.add(id);
        const token = result.next_page_token;
        if (token) more.push({ ...open[index], page_token: token });
      }
      open = more;
    }
    if (ids.size > RECORDS) throw unavailable(`names more than ${RECORDS} records`);
  }
  return read([...ids], ask, now);
}

function queryOf({ ecosystem, name, version }: Identity): object {
  return { package: { ecosystem, name }, version };
}

async function read(ids: readonly string[], ask: AskApi, now: Date): Promise<Advisories> {
  const rate = await cvss();
  const byKey = new Map<string, Advisory[]>();
  let unread = 0;
  const queue = [...ids];
  const worker = async () => {
    for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
      const reduced = reduce(await ask(`v1/vulns/${encodeURIComponent(id)}`), rate);
      if (!reduced) {
        unread += 1;
        continue;
      }
      for (const one of reduced) {
        const key = keyOf(one);
        byKey.set(key, [...(byKey.get(key) ?? []), one.advisory]);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, queue.length) }, worker));
  // Answers come in any order; reports don't.
  for (const list of byKey.values()) list.sort((a, b) => (a.id < b.id ? -1 : 1));
  return advisoriesOf(byKey, {
    collected: new Map([
      ['npm', now],
      ['PyPI', now],
      ['Debian', now],
    ]),
    from: 'batch API',
    unread,
  });
}

function unavailable(what: string): McpBuildError {
  return new McpBuildError({
    code: 'advisories-unavailable',
    message: `The advisories API ${what}`,
    fix: 'Check its address, or use exports: `mcp-build advisories update`, then audit without it.',
    exit: 5,
  });
}
