import { META } from '../peer.ts';
import { CODE, faultOf } from '../rpc/fault.ts';
import { isObject, type Params, type Request } from '../rpc/message.ts';
import { sendFault, statusOf } from './reply.ts';
import { openEvents, writeEvent } from './stream.ts';
import type { Exchange } from './streamable.ts';

/** Most resources that one listener may name. */
const MOST = 1000;

const LISTS = {
  toolsListChanged: ['tools', 'notifications/tools/list_changed'],
  promptsListChanged: ['prompts', 'notifications/prompts/list_changed'],
  resourcesListChanged: ['resources', 'notifications/resources/list_changed'],
} as const;

/** `subscriptions/listen` of 2026-07-28: an answer that goes on until its reader leaves. */
export async function listen({ response, service, identity }: Exchange, request: Request): Promise<void> {
  const wanted = request.params?.notifications;
  const uris = isObject(wanted) ? (wanted.resourceSubscriptions ?? []) : undefined;
  if (!isObject(wanted) || !Array.isArray(uris) || uris.length > MOST || uris.some((uri) => typeof uri !== 'string')) {
    const fault = {
      code: CODE.params,
      message: `params.notifications is missing, of a wrong kind or longer than ${MOST}`,
    };
    return sendFault(response, 200, fault, request.id);
  }
  let capabilities: Params;
  try {
    ({ capabilities } = await service.hello(identity));
  } catch (error) {
    const fault = faultOf(error);
    return sendFault(response, statusOf(fault), fault, request.id);
  }
  const can = (name: string, what: string) => isObject(capabilities[name]) && capabilities[name][what] === true;
  const heard = new Set<string>();
  const honored: Record<string, unknown> = {};
  for (const [field, [capability, method]] of Object.entries(LISTS)) {
    if (wanted[field] !== true || !can(capability, 'listChanged')) continue;
    honored[field] = true;
    heard.add(method);
  }
  const subscribed = can('resources', 'subscribe') ? (uris as string[]) : [];
  if (subscribed.length > 0) honored.resourceSubscriptions = subscribed;

  openEvents(response);
  const id = JSON.parse(request.id) as unknown;
  const say = (method: string, params: Params) => {
    const message = { jsonrpc: '2.0', method, params: { ...params, _meta: { [META.subscription]: id } } };
    writeEvent(response, 'event: message\n', JSON.stringify(message));
  };
  say('notifications/subscriptions/acknowledged', { notifications: honored });
  const watcher = {
    deliver: (text: string) => say('notifications/resources/updated', (JSON.parse(text) as { params: Params }).params),
  };
  const subscriptions = service.subscriptionsOf(identity);
  const leave = subscriptions.follow((method) => {
    if (heard.has(method)) say(method, {});
  });
  for (const uri of subscribed) subscriptions.watch(watcher, uri);
  response.once('close', () => {
    leave();
    subscriptions.drop(watcher);
  });
}
