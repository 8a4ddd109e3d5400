import type { RpcFault } from '../rpc/fault.ts';
import type { Request } from '../rpc/message.ts';
import type { Tracing } from '../tracing/spans.ts';

/** A request that a client makes of a server. */
export interface Call {
  readonly client: { readonly id: string; readonly name: string };
  readonly server: string;
  /** Of the image that answers; undefined for remote servers. */
  readonly digest: string | undefined;
  readonly method: string;
  /** The tool or prompt that is named, or the resource's URI; undefined for other methods. */
  readonly target: string | undefined;
  /** Of the request, in bytes. */
  readonly size: number;
}

export interface Outcome {
  /** `tool_error`: the tool itself says that it failed, in a result. The name is OpenTelemetry's, and goes into logs and labels. */
  readonly kind: 'answered' | 'tool_error' | 'failed' | 'cancelled';
  /** JSON-RPC's, where it failed here and the code is known. */
  readonly code?: number | undefined;
  /** Of the answer, in bytes. */
  readonly size: number;
  /** In milliseconds. */
  readonly duration: number;
}

/** What happened besides calls that were passed on. */
export type Incident =
  | { readonly kind: 'started'; readonly server: string; readonly digest: string | undefined }
  | { readonly kind: 'down'; readonly server: string; readonly why: string }
  | { readonly kind: 'drift'; readonly server: string; readonly what: string }
  | { readonly kind: 'egress-refused'; readonly server: string; readonly host: string; readonly port: number }
  | { readonly kind: 'unusual'; readonly server: string; readonly pattern: string; readonly what: string }
  | { readonly kind: 'entry-refused'; readonly server: string; readonly status: number }
  | {
      /** By what was said or answered; never with a word of it. */
      readonly kind: 'call-blocked';
      readonly server: string;
      readonly client: Call['client'];
      readonly method: string;
      readonly target: string | undefined;
      readonly where: 'arguments' | 'result' | 'message';
      readonly rule: string;
    }
  | {
      readonly kind: 'call-refused';
      readonly server: string;
      readonly client: Call['client'];
      readonly method: string;
      readonly target: string | undefined;
      readonly code: number;
    };

/** What a person would call failed, wherever it did. */
export function hasFailed({ kind }: Outcome): boolean {
  return kind === 'failed' || kind === 'tool_error';
}

/** Sees what passes, and may hold it up. */
export interface Observer {
  /** `go` is called once the call may be passed on, or with the fault that its caller is told instead. @returns what `end` is given */
  begin(call: Call, go: (fault?: RpcFault) => void): number;
  /** `go` is called once the outcome may be told, or with what is told instead of it. */
  end(call: Call, begun: number, outcome: Outcome, go: (fault?: RpcFault) => void): void;
  incident(incident: Incident): void;
  /** Follows a call through, where traces are wanted. */
  readonly trace?: ((call: Call, request: Request) => Tracing) | undefined;
}
