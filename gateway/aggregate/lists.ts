import type { Identity } from '../identity.ts';
import { CODE, RpcError } from '../rpc/fault.ts';
import { isObject, type Params, textOf } from '../rpc/message.ts';
import type { Service } from '../service.ts';
import { type ListKind, type Names, renamed } from './names.ts';

/** Lists that are put together of every server's: which capability a server must have, and what the items are called. */
export const LISTS: Readonly<Record<string, { readonly capability: string; readonly kind: ListKind }>> = {
  'tools/list': { capability: 'tools', kind: 'tools' },
  'prompts/list': { capability: 'prompts', kind: 'prompts' },
  'resources/list': { capability: 'resources', kind: 'resources' },
  'resources/templates/list': { capability: 'resources', kind: 'resourceTemplates' },
};

/** A server that takes longer to start or to answer is left out for now; in milliseconds. */
const PATIENCE = 15_000;
const MOST_ITEMS = 5_000;
const MOST_PAGES = 100;

export interface ListInput {
  readonly members: readonly Service[];
  readonly identity: Identity;
  readonly names: Names;
  /** Asks one server for one page. @throws what it answers */
  readonly ask: (member: Service, method: string, params: Params) => Promise<Params>;
  /** Told of a server that is left out, and why. */
  readonly missing: (member: Service, why: string) => void;
}

/** Every server's list in one. One that is down or slow takes nothing away from the others. */
export async function wholeList(method: string, input: ListInput): Promise<Params> {
  const { capability, kind } = LISTS[method] as (typeof LISTS)[string];
  const { members, identity, names, ask, missing } = input;
  const parts = await Promise.all(
    members.map(async (member) => {
      try {
        return await within(PATIENCE, async () => {
          const { capabilities } = await member.hello(identity);
          if (capabilities[capability] === undefined) return [];
          return pages(member, method, kind, ask);
        });
      } catch (error) {
        missing(member, error instanceof Error ? error.message : String(error));
        return [];
      }
    }),
  );
  const items = parts.flatMap((part, index) => {
    const member = members[index] as Service;
    const own = kind === 'tools' ? member.offered(identity, part) : part;
    return own
      .map((item) => renamed(kind, item, member.name, names))
      .filter((item) => leadsBack(kind, item, member.name, names));
  });
  return { [kind]: items };
}

async function pages(member: Service, method: string, kind: ListKind, ask: ListInput['ask']): Promise<unknown[]> {
  const items: unknown[] = [];
  let cursor: unknown;
  for (let page = 0; page < MOST_PAGES && items.length < MOST_ITEMS; page += 1) {
    let result: Params;
    try {
      result = await ask(member, method, cursor === undefined ? {} : { cursor });
    } catch (error) {
      // It claims what its framework offers and has no method for it: an empty list, as the runner records it, and no server to wait for.
      if (page === 0 && error instanceof RpcError && error.fault.code === CODE.method) return [];
      throw error;
    }
    const found = result[kind];
    if (Array.isArray(found)) items.push(...found.filter(isObject));
    if (typeof result.nextCursor !== 'string' || result.nextCursor === cursor) break;
    cursor = result.nextCursor;
  }
  return items.slice(0, MOST_ITEMS);
}

/** A name that would lead to another server is not offered: that of one whose name goes on where this one's ends. */
function leadsBack(kind: ListKind, item: unknown, server: string, names: Names): boolean {
  if (!isObject(item)) return false;
  if (kind !== 'tools' && kind !== 'prompts') return true;
  return names.split(textOf(item.name))?.server === server;
}

async function within<T>(milliseconds: number, work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${milliseconds} ms`)), milliseconds);
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}
