import { META, MODERN, type Write } from '../peer.ts';
import { CODE, faultOf, faultText, type RpcFault } from '../rpc/fault.ts';
import { isObject, type Message, type Request, tokenOf } from '../rpc/message.ts';
import { fromModern, modernCapabilities, toModern } from '../translate.ts';
import { checkMirrored, checkModern } from './headers.ts';
import { listen } from './listen.ts';
import { accepted, sendFault, sendJson, statusOf } from './reply.ts';
import { shown } from './result.ts';
import { openEvents, writeEvent } from './stream.ts';
import type { Exchange } from './streamable.ts';
import { type Pending, unwatch, watch } from './watch.ts';

/** An answer that takes longer comes as events: see `callForSession`. In milliseconds. */
const STREAM_AFTER = 5_000;

/** Methods of the older revisions that this one no longer has. */
const GONE = new Set(['initialize', 'ping', 'logging/setLevel', 'resources/subscribe', 'resources/unsubscribe']);

/** POST of MCP 2026-07-28: every request stands alone. */
export async function postModern(exchange: Exchange, message: Message): Promise<void> {
  const { request, response, service, identity } = exchange;
  const wrong = checkModern(request.headers, message);
  const id = message.kind === 'request' ? message.id : 'null';
  if (wrong) return sendFault(response, 400, wrong, id);
  // Cancelling is closing the response here: no other notification is of use.
  if (message.kind !== 'request') return accepted(response);
  if (message.method === 'server/discover') return discover(exchange, message);
  if (message.method === 'subscriptions/listen') return listen(exchange, message);
  if (GONE.has(message.method)) {
    return sendFault(response, 404, { code: CODE.method, message: `${message.method} is no method of ${MODERN}` }, id);
  }
  const refused = service.refuses(identity, message.method, message.params);
  if (refused) return sendFault(response, 200, refused, id);
  if (message.method === 'tools/call') {
    const known = service.mirrored(identity, message.params);
    const fault = checkMirrored(request.headers, known instanceof Promise ? await known : known, message.params);
    if (fault) return sendFault(response, 400, fault, id);
  }
  call(exchange, message);
}

async function discover({ response, service, identity }: Exchange, { id }: Request): Promise<void> {
  try {
    const hello = await service.hello(identity);
    const result = {
      resultType: 'complete',
      supportedVersions: [MODERN],
      capabilities: modernCapabilities(hello.capabilities),
      ...(hello.instructions === undefined ? {} : { instructions: hello.instructions }),
      ttlMs: 0,
      cacheScope: 'private',
      _meta: { [META.server]: hello.serverInfo },
    };
    sendJson(response, 200, `{"jsonrpc":"2.0","id":${id},"result":${JSON.stringify(result)}}`);
  } catch (error) {
    const fault = faultOf(error);
    sendFault(response, statusOf(fault), fault, id);
  }
}

function call({ request: { headers }, response, service, identity }: Exchange, request: Request): void {
  const { id, method } = request;
  const accept = headers.accept ?? '*/*';
  const events = accept.includes('text/event-stream');
  const json = !events || accept.includes('application/json') || accept.includes('*/*');
  let streaming = false;
  let over = false;

  const begin = () => {
    if (streaming || response.destroyed) return;
    streaming = true;
    openEvents(response);
  };
  const end = (body: Buffer | string, status: number) => {
    if (over) return;
    over = true;
    unwatch(pending);
    if (!json) begin();
    if (!streaming) return sendJson(response, status, body);
    writeEvent(response, 'event: message\n', body);
    response.end();
  };
  const fail = (fault: RpcFault) => end(faultText(id, fault), statusOf(fault));
  const pending: Pending = {
    since: performance.now(),
    waited(milliseconds) {
      if (service.timeout > 0 && milliseconds > service.timeout) {
        handle.cancel('timeout');
        fail({ code: CODE.timeout, message: `The server gave no answer within ${service.timeout} ms` });
      } else if (milliseconds > STREAM_AFTER && events) begin();
    },
  };
  watch(pending);
  const token = tokenOf(request);
  // Its text, which may be long, isn't kept while the server works on it.
  const once: { request: Request | undefined } = { request };
  const write: Write = (own, generation) => {
    const text = fromModern(once.request as Request, own, generation);
    once.request = undefined;
    return text;
  };
  const handle = service.call(identity, service.common, request, write, {
    answer(answer) {
      const body = shown(answer, id, method, service, identity);
      if (answer.failed) return end(body, statusOfFailure(body));
      const hello = service.common.current()?.hello;
      end(hello ? toModern(body, method, hello) : body, 200);
    },
    fail,
    progress(params) {
      if (token === undefined || !events) return;
      begin();
      const told = { ...params, progressToken: token };
      const notification = { jsonrpc: '2.0', method: 'notifications/progress', params: told };
      writeEvent(response, 'event: message\n', JSON.stringify(notification));
    },
  });
  response.once('close', () => {
    if (over) return;
    over = true;
    unwatch(pending);
    handle.cancel('the client has gone');
  });
}

/** A method that the server lacks, or a capability that the client does, is told by the status, too. */
function statusOfFailure(body: Buffer): number {
  if (body.length > 4096) return 200;
  const { error } = JSON.parse(body.toString('utf8')) as { error?: unknown };
  if (!isObject(error)) return 200;
  return error.code === CODE.method ? 404 : error.code === CODE.capability ? 400 : 200;
}
