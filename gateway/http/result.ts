import type { Identity } from '../identity.ts';
import { type Answer, withId } from '../rpc/answer.ts';
import { isObject } from '../rpc/message.ts';
import type { Service } from '../service.ts';

/** A server's answer as this client is to see it: under the client's id, and without the tools that aren't for it. */
export function shown(answer: Answer, id: string, method: string, service: Service, identity: Identity): Buffer {
  const whole = withId(answer, id);
  if (method !== 'tools/list' || answer.failed || service.offersAll(identity)) return whole;
  const message = JSON.parse(whole.toString('utf8')) as { result?: unknown };
  if (!isObject(message.result) || !Array.isArray(message.result.tools)) return whole;
  const tools = service.offered(identity, message.result.tools);
  return Buffer.from(JSON.stringify({ ...message, result: { ...message.result, tools } }));
}
