import type { ServerResponse } from 'node:http';
import { CODE, faultText, type RpcFault } from '../rpc/fault.ts';

/** One whole JSON body, with its length: the fastest there is in Node, and any client can read it. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: string | Buffer,
  headers?: Readonly<Record<string, string>>,
): void {
  if (response.headersSent || response.destroyed) return;
  const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': length, ...headers });
  response.end(body);
}

export function sendFault(
  response: ServerResponse,
  status: number,
  fault: RpcFault,
  id = 'null',
  headers?: Readonly<Record<string, string>>,
): void {
  sendJson(response, status, faultText(id, fault), headers);
}

/** A refusal that has nothing to do with the message. */
export function refuse(
  response: ServerResponse,
  status: number,
  message: string,
  headers?: Readonly<Record<string, string>>,
): void {
  sendFault(response, status, { code: CODE.forbidden, message }, 'null', headers);
}

export function accepted(response: ServerResponse): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(202, { 'content-length': 0 });
  response.end();
}

/** The status for a fault that stands in for the server's answer. */
export function statusOf({ code }: RpcFault): number {
  switch (code) {
    case CODE.parse:
    case CODE.request:
    case CODE.header:
    case CODE.version:
      return 400;
    case CODE.busy:
      return 429;
    default:
      // The HTTP exchange went well; what failed is the call.
      return 200;
  }
}
