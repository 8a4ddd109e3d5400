import type { Backend } from '../backend.ts';
import type { Caller } from '../peer.ts';
import { type Answer, slowAnswer } from '../rpc/answer.ts';
import { CODE, type RpcFault } from '../rpc/fault.ts';
import { isObject, type Params, type Request } from '../rpc/message.ts';
import { outline } from '../rpc/outline.ts';
import { broken, isPlain, type Limit } from './limits.ts';
import { type SecretPatterns, secretPatterns } from './secrets.ts';

export interface PolicyOptions {
  /** By tool; `*` is for those that aren't named. */
  readonly limits: Readonly<Record<string, Limit>> | undefined;
  readonly secrets: SecretPolicy | undefined;
}

export interface SecretPolicy {
  readonly arguments: 'block' | 'allow';
  readonly results: 'block' | 'redact' | 'allow';
  readonly also: Readonly<Record<string, string>>;
  readonly except: readonly string[];
}

/** What was not let through, without a word of what it was. */
export interface Breach {
  readonly where: 'arguments' | 'result' | 'message';
  readonly rule: string;
}

/** What may be said to a server, and what it may say, apart from who asks. */
export interface Policy {
  request(request: Request): Breach | undefined;
  /** The answer as it may be told, if it may, and what was found in it. */
  answer(answer: Answer): { readonly answer?: Answer; readonly breach?: Breach };
  /** Of what a server says by itself. */
  message(text: string): Breach | undefined;
}

/** @returns undefined where there is nothing to look at */
export function policy({ limits, secrets }: PolicyOptions): Policy | undefined {
  if (!limits && !secrets) return undefined;
  const patterns = secrets && secretPatterns(secrets.also, secrets.except);
  const outgoing = secrets?.arguments === 'block' ? patterns : undefined;
  const incoming = secrets && secrets.results !== 'allow' ? patterns : undefined;
  return {
    request(request) {
      const { method, params } = request;
      const limit = method === 'tools/call' && limits ? limitOf(limits, params?.name) : undefined;
      const rule = limit && limitBroken(limit, request);
      if (rule !== undefined) return { where: 'arguments', rule };
      const kind = outgoing?.find(withoutMeta(params));
      return kind === undefined ? undefined : { where: 'arguments', rule: `secret:${kind}` };
    },
    answer(answer) {
      const kind = incoming?.findIn(answer.line.toString('utf8'));
      if (kind === undefined || !incoming) return { answer };
      const breach = { where: 'result', rule: `secret:${kind}` } as const;
      if (secrets?.results === 'block') return { breach };
      return { breach, answer: slowAnswer(Buffer.from(JSON.stringify(redacted(answer, incoming)))) as Answer };
    },
    message(text) {
      const kind = incoming?.findIn(text);
      return kind === undefined ? undefined : { where: 'message', rule: `secret:${kind}` };
    },
  };
}

function redacted({ line }: Answer, patterns: SecretPatterns): unknown {
  return patterns.redact(JSON.parse(line.toString('utf8')));
}

function limitOf(limits: Readonly<Record<string, Limit>>, tool: unknown): Limit | undefined {
  const name = typeof tool === 'string' && Object.hasOwn(limits, tool) ? tool : '*';
  return Object.hasOwn(limits, name) ? limits[name] : undefined;
}

function limitBroken(limit: Limit, { text, params }: Request): string | undefined {
  const span = outline(text, text.indexOf('{'))?.get('params');
  const given = span && outline(text, span.start)?.get('arguments');
  if (given && !isPlain(text, given.start)) return 'a name that stands twice';
  const found = broken(limit, params?.arguments ?? {});
  return found && (found.path === '' ? found.rule : `${found.path}: ${found.rule}`);
}

/** Tracing and the like, which a client's library writes. */
function withoutMeta(params: Params | undefined): Params {
  const { _meta, ...rest } = params ?? {};
  return rest;
}

/** A server behind the policy: what breaks it is answered here, and told to `tell`. */
export function policed(
  by: Policy,
  behind: Pick<Backend, 'call'>,
  request: Request,
  tell: (breach: Breach) => void,
): Pick<Backend, 'call'> {
  return {
    call(write, caller) {
      const refused = by.request(request);
      if (refused) {
        tell(refused);
        queueMicrotask(() => caller.fail(faultOf(refused)));
        return { cancel: () => undefined };
      }
      return behind.call(write, screened(by, caller, tell));
    },
  };
}

function screened(by: Policy, caller: Caller, tell: (breach: Breach) => void): Caller {
  const { progress } = caller;
  return {
    ...caller,
    answer(answer) {
      const { answer: told, breach } = by.answer(answer);
      if (breach) tell(breach);
      if (told) caller.answer(told);
      else caller.fail(faultOf(breach as Breach));
    },
    ...(progress
      ? {
          progress(params: Params) {
            const breach = isObject(params) ? by.message(JSON.stringify(params)) : undefined;
            if (!breach) return progress(params);
            tell(breach);
            const { message: _message, ...rest } = params;
            progress(rest);
          },
        }
      : {}),
  };
}

function faultOf({ where, rule }: Breach): RpcFault {
  const what = rule.startsWith('secret:') ? `what looks like a secret (${rule.slice(7)})` : `a limit (${rule})`;
  const message =
    where === 'arguments'
      ? rule.startsWith('secret:')
        ? `The call was not made: its arguments hold ${what}`
        : `The call was not made: its arguments break ${what}`
      : `The call was made, and its answer is withheld: it holds ${what}`;
  return { code: CODE.forbidden, message, data: { where, rule } };
}
