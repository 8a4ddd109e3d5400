import type { Backend, Handle } from '../backend.ts';
import type { Caller, Write } from '../peer.ts';
import type { Answer } from '../rpc/answer.ts';
import type { RpcFault } from '../rpc/fault.ts';
import { isToolError } from '../rpc/tool-error.ts';
import { withMeta } from '../tracing/context.ts';
import type { Tracing } from '../tracing/spans.ts';
import type { Call, Observer, Outcome } from './observer.ts';

/** Passes a call on to a server when the observer lets it, and the answer back when the observer has it. */
export function watchedCall(
  observer: Observer,
  call: Call,
  behind: Pick<Backend, 'call'>,
  write: Write,
  caller: Caller,
  tracing?: Tracing,
): Handle {
  const since = performance.now();
  let handle: Handle | undefined;
  let begun = 0;
  let over = false;
  let cancelled = false;

  function end(outcome: Omit<Outcome, 'duration'>, tell: () => void, instead: (fault: RpcFault) => void): void {
    if (over) return;
    over = true;
    const whole = { ...outcome, duration: performance.now() - since };
    observer.end(call, begun, whole, (fault) => {
      tracing?.end(fault ? { ...whole, kind: 'failed', code: fault.code } : whole);
      if (fault) instead(fault);
      else tell();
    });
  }
  const nobody = () => undefined;
  const kindOf = ({ failed, line }: Answer) => {
    if (failed) return 'failed';
    return call.method === 'tools/call' && isToolError(line) ? 'tool_error' : 'answered';
  };

  begun = observer.begin(call, (fault) => {
    if (fault) {
      over = true;
      tracing?.end({ kind: 'failed', code: fault.code, size: 0, duration: performance.now() - since });
      if (!cancelled) caller.fail(fault);
      return;
    }
    if (cancelled) return end({ kind: 'cancelled', size: 0 }, nobody, nobody);
    tracing?.passed();
    const traced: Write = tracing ? (id, generation) => withMeta(write(id, generation), tracing.meta) : write;
    handle = behind.call(traced, {
      answer(answer) {
        tracing?.answered(answer);
        end({ kind: kindOf(answer), size: answer.line.length }, () => caller.answer(answer), caller.fail);
      },
      fail: (why) => end({ kind: 'failed', code: why.code, size: 0 }, () => caller.fail(why), caller.fail),
      ...(caller.progress ? { progress: caller.progress } : {}),
    });
  });

  return {
    cancel(reason) {
      if (cancelled || over) return;
      cancelled = true;
      // Not passed on yet: then it never is.
      if (!handle) return;
      handle.cancel(reason);
      end({ kind: 'cancelled', size: 0 }, nobody, nobody);
    },
  };
}
