import { expect, test } from 'vitest';
import { wholeList } from '../../../gateway/aggregate/lists.ts';
import { names } from '../../../gateway/aggregate/names.ts';
import type { Identity } from '../../../gateway/index.ts';
import { RpcError } from '../../../gateway/rpc/fault.ts';
import type { Params } from '../../../gateway/rpc/message.ts';
import type { Service } from '../../../gateway/service.ts';

const identity: Identity = { id: '', name: '', expires: undefined, servers: undefined, tools: undefined };

/** The prompts of two servers, of which `odd` answers in its own way. @returns their names, and who was left out */
async function promptsOf(odd: (params: Params) => Params): Promise<[unknown, string[]]> {
  const members = ['even', 'odd'].map(
    (name) => ({ name, hello: async () => ({ capabilities: { prompts: {} } }) }) as unknown as Service,
  );
  const left: string[] = [];
  const { prompts } = await wholeList('prompts/list', {
    members,
    identity,
    names: names(['even', 'odd']),
    ask: async ({ name }, _method, params) => (name === 'even' ? { prompts: [{ name: 'a' }] } : odd(params)),
    missing: ({ name }) => left.push(name),
  });
  return [(prompts as { name: string }[]).map(({ name }) => name), left];
}

const refuse = (code: number) => {
  throw new RpcError({ code, message: 'no' });
};

test('a server that has no method for what it claims has an empty list, and nobody waits for it', async () => {
  expect(await promptsOf(() => refuse(-32601))).toEqual([['even__a'], []]);
});

test.each([
  ['fails otherwise', () => refuse(-32603)],
  [
    'loses the method after its first page',
    ({ cursor }: Params) => (cursor === undefined ? { prompts: [{ name: 'b' }], nextCursor: '2' } : refuse(-32601)),
  ],
])('a server that %s is left out', async (_, odd) => {
  expect(await promptsOf(odd as (params: Params) => Params)).toEqual([['even__a'], ['odd']]);
});
