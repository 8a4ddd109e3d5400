import type { Generation } from '../../runner/index.ts';

export interface Behaviour {
  readonly tools?: (generation: Generation) => readonly unknown[];
  readonly prompts?: (generation: Generation) => readonly unknown[];
  readonly instructions?: string;
  /** Capabilities besides tools and prompts. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** What it answers to a method in place of a result; nothing at all for `silence`. */
  readonly instead?: Readonly<Record<string, { readonly code: number; readonly message: string } | 'silence'>>;
  /** Says after each list that it has changed. */
  readonly changes?: boolean;
}

interface Request {
  readonly id?: number | string;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
}

/** An MCP server on stdio of both generations, of which a test says what it offers. @returns at the end of its input */
export async function fakeServer(
  behaviour: Behaviour,
  stdin: AsyncIterable<Uint8Array>,
  stdout: (bytes: string) => Promise<void>,
): Promise<void> {
  let pending = '';
  for await (const chunk of stdin) {
    pending += Buffer.from(chunk).toString('utf8');
    const lines = pending.split('\n');
    pending = lines.pop() ?? '';
    for (const line of lines) {
      const request = JSON.parse(line) as Request;
      if (request.id === undefined || request.method === undefined) continue;
      const instead = behaviour.instead?.[request.method];
      if (instead === 'silence') continue;
      const answer = instead ? { error: instead } : answerTo(request, behaviour);
      await stdout(`${JSON.stringify({ jsonrpc: '2.0', id: request.id, ...answer })}\n`);
      if (behaviour.changes && request.method === 'tools/list') {
        await stdout('{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n');
      }
    }
  }
}

function answerTo({ method, params }: Request, behaviour: Behaviour): object {
  const meta = params?._meta as Readonly<Record<string, unknown>> | undefined;
  const modern = meta?.['io.modelcontextprotocol/protocolVersion'] === '2026-07-28';
  const generation: Generation = modern ? '2026-07-28' : '2025-11-25';
  const capabilities = { tools: { listChanged: true }, prompts: {}, ...behaviour.claims };
  const serverInfo = { name: 'fake', version: '1.0.0' };
  const instructions = behaviour.instructions === undefined ? {} : { instructions: behaviour.instructions };
  const cached = modern ? { resultType: 'complete', ttlMs: 0, cacheScope: 'private' } : {};
  switch (method) {
    case 'initialize':
      return { result: { protocolVersion: '2025-11-25', capabilities, serverInfo, ...instructions } };
    case 'server/discover':
      return { result: { supportedVersions: ['2026-07-28'], capabilities, serverInfo, ...cached, ...instructions } };
    case 'tools/list':
      return { result: { tools: behaviour.tools?.(generation) ?? [], ...cached } };
    case 'prompts/list':
      return { result: { prompts: behaviour.prompts?.(generation) ?? [], ...cached } };
    default:
      return { error: { code: -32601, message: 'method not found' } };
  }
}
