/** JSON-RPC's own error codes, MCP's, and those of this gateway. */
export const CODE = {
  parse: -32700,
  request: -32600,
  method: -32601,
  params: -32602,
  internal: -32603,
  /** The server behind is not there now; it may be the next time. */
  unavailable: -32000,
  timeout: -32001,
  /** MCP 2026-07-28. */
  header: -32020,
  capability: -32021,
  version: -32022,
  /** More is asked of a server than it may be asked at once. */
  busy: -32029,
  /** The gateway's rules don't let this caller do this. */
  forbidden: -32030,
} as const;

/** What a caller is told in place of an answer. */
export interface RpcFault {
  readonly code: number;
  readonly message: string;
  readonly data?: unknown;
}

/** A whole JSON-RPC error answer. @param id the id's own JSON, `null` where there is none */
export function faultText(id: string, { code, message, data }: RpcFault): string {
  const error = JSON.stringify(data === undefined ? { code, message } : { code, message, data });
  return `{"jsonrpc":"2.0","id":${id},"error":${error}}`;
}

/** For code that gives up by throwing; nothing but `fault` of it reaches a client. */
export class RpcError extends Error {
  override readonly name = 'RpcError';
  readonly fault: RpcFault;

  constructor(fault: RpcFault) {
    super(fault.message);
    this.fault = fault;
  }
}

export function faultOf(error: unknown): RpcFault {
  if (error instanceof RpcError) return error.fault;
  return { code: CODE.internal, message: error instanceof Error ? error.message : String(error) };
}
