import type { Answer } from '../rpc/answer.ts';
import { CODE, RpcError } from '../rpc/fault.ts';
import { isObject, type Params, type Request } from '../rpc/message.ts';
import type { Session } from '../session.ts';

/** A server that asks again and again is given up. */
export const MOST_ROUNDS = 8;
const MOST_REQUESTS = 32;

/** What a server of 2026 wants to know before it answers. */
export interface InputRequired {
  readonly requests: Params;
  readonly state: unknown;
}

/** Capabilities that a client must have announced to be asked. */
const NEEDED: Readonly<Record<string, string>> = {
  'elicitation/create': 'elicitation',
  'sampling/createMessage': 'sampling',
  'roots/list': 'roots',
};

/** @returns undefined for an ordinary answer */
export function inputRequired({ line, failed }: Answer): InputRequired | undefined {
  if (failed || !line.includes('"input_required"')) return undefined;
  const { result } = JSON.parse(line.toString('utf8')) as { result?: unknown };
  if (!isObject(result) || result.resultType !== 'input_required') return undefined;
  return { requests: isObject(result.inputRequests) ? result.inputRequests : {}, state: result.requestState };
}

/**
 * Asks a client of 2025 what a server of 2026 wants to know: each of its wishes is a request of the server there.
 * @returns the request with what the client said. @throws RpcError what the client answers, -32603 for wishes that can't be asked
 */
export async function withInput(
  session: Session,
  request: Request,
  { requests, state }: InputRequired,
  deliver: (text: string) => void,
): Promise<Params> {
  const wishes = Object.entries(requests);
  if (wishes.length > MOST_REQUESTS) throw cantAsk('too many things at once');
  const answers = await Promise.all(
    wishes.map(async ([key, wish]) => {
      const method = isObject(wish) && typeof wish.method === 'string' ? wish.method : '';
      const needed = Object.hasOwn(NEEDED, method) ? NEEDED[method] : undefined;
      if (!isObject(wish) || needed === undefined) throw cantAsk(method);
      if (session.greeting.capabilities[needed] === undefined) throw cantAsk(`${needed}, which this client can’t give`);
      return [key, await session.ask(method, isObject(wish.params) ? wish.params : {}, deliver)] as const;
    }),
  );
  return {
    ...request.params,
    inputResponses: Object.fromEntries(answers),
    ...(state === undefined ? {} : { requestState: state }),
  };
}

function cantAsk(what: string): RpcError {
  return new RpcError({ code: CODE.internal, message: `The server asks for ${what}` });
}
