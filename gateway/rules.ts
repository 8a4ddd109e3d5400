import { CODE, type RpcFault } from './rpc/fault.ts';
import { isObject, type Params } from './rpc/message.ts';

/** What clients may do with a server, apart from who they are. */
export interface Rules {
  /** `allow`: these tools and no other; `block`: all but these. */
  readonly filter?: { readonly mode: 'allow' | 'block'; readonly list: readonly string[] };
  /** Only tools whose annotations say that they change nothing. */
  readonly readOnly: boolean;
}

/** A tool as a server lists it. */
export interface Tool {
  readonly name: string;
  readonly definition: Params;
}

export interface Gate {
  /** Whether every tool is let through without a look. */
  readonly open: boolean;
  /** @returns why not, or undefined */
  refuses(tool: string): RpcFault | undefined;
  /** The tools of a list that are let through. */
  sift(tools: readonly unknown[]): unknown[];
  /** Told the tools as the server lists them now; with read-only, a tool that was never listed is refused. */
  learn(tools: readonly unknown[]): void;
}

export type Refusal = (tool: Tool) => string | undefined;

/** @param also a further judgement on a tool as it is listed now: what was signed, say */
export function gate(rules: Rules, also?: Refusal): Gate {
  const named = rules.filter ? new Set(rules.filter.list) : undefined;
  const mode = rules.filter?.mode;
  // A server may list one name several times. A call names no definition, so that each of them has to be one that is let through.
  let known: ReadonlyMap<string, readonly Tool[]> = new Map();
  const byName = (name: string) =>
    named && named.has(name) !== (mode === 'allow') ? 'is not offered here' : undefined;
  const byTool = (tool: Tool) => {
    if (rules.readOnly && !readsOnly(tool)) return 'is not marked as read-only';
    return also?.(tool);
  };
  const byTools = (tools: readonly Tool[]) => {
    for (const tool of tools) {
      const why = byTool(tool);
      if (why !== undefined) return why;
    }
    return undefined;
  };
  return {
    open: named === undefined && !rules.readOnly && also === undefined,
    refuses(name) {
      const tools = known.get(name);
      let why = byName(name);
      if (why === undefined && (rules.readOnly || also)) why = tools ? byTools(tools) : 'is not among those it lists';
      return why === undefined ? undefined : { code: CODE.params, message: `Unknown tool: ${name} (it ${why})` };
    },
    sift(tools) {
      const named = toolsByName(tools);
      return tools.filter((value) => {
        const tool = toolOf(value);
        if (tool === undefined || byName(tool.name) !== undefined) return false;
        return byTools(named.get(tool.name) ?? []) === undefined;
      });
    },
    learn(tools) {
      known = toolsByName(tools);
    },
  };
}

function toolsByName(values: readonly unknown[]): ReadonlyMap<string, readonly Tool[]> {
  const found = new Map<string, Tool[]>();
  for (const value of values) {
    const tool = toolOf(value);
    if (!tool) continue;
    const own = found.get(tool.name);
    if (own) own.push(tool);
    else found.set(tool.name, [tool]);
  }
  return found;
}

/** A hint of the server's own: worth something only for a server that verified. */
function readsOnly({ definition }: Tool): boolean {
  return isObject(definition.annotations) && definition.annotations.readOnlyHint === true;
}

function toolOf(value: unknown): Tool | undefined {
  return isObject(value) && typeof value.name === 'string' ? { name: value.name, definition: value } : undefined;
}
