import { createInterface } from 'node:readline';

/**
 * An MCP server on stdio that does what it is told: `generation` is 2025 (initialize), 2026 (server/discover) or both; `stateful` announces
 * logging and subscriptions. Its tools are behaviours that a proxy must live with.
 */
const options = JSON.parse(process.argv[2] ?? '{}') as {
  readonly generation?: '2025' | '2026' | 'both';
  readonly stateful?: boolean;
  readonly dieAtStart?: boolean;
  /** Has a tool whose parameters are repeated in headers. */
  readonly mirrored?: boolean;
};
const generation = options.generation ?? '2025';
if (options.dieAtStart) process.exit(3);

type Message = {
  readonly id?: number | string;
  readonly method?: string;
  // biome-ignore lint/suspicious/noExplicitAny: messages are whatever comes
  readonly params?: any;
  readonly result?: unknown;
  readonly error?: unknown;
};

const annotations = { readOnlyHint: true };
const inputSchema = { type: 'object' };
const TOOLS = [
  { name: 'echo', inputSchema, annotations },
  { name: 'slow', inputSchema },
  { name: 'progress', inputSchema },
  { name: 'ask', inputSchema },
  { name: 'stderr', inputSchema },
  { name: 'die', inputSchema },
  { name: 'fail', inputSchema },
  { name: 'flood', inputSchema },
  { name: 'cancelled', inputSchema },
  { name: 'change', inputSchema },
  { name: 'seen', inputSchema },
  ...(options.mirrored ? [mirrored()] : []),
];
const WHO = { message: 'who?', requestedSchema: { type: 'object', properties: {} } };
const info = { name: 'fake', version: '1.0.0' };
const capabilities = {
  tools: { listChanged: true },
  ...(options.stateful ? { logging: {}, resources: { subscribe: true } } : {}),
};
function mirrored() {
  const text = (name: string) => ({ type: 'string', 'x-mcp-header': name });
  const properties = {
    region: text('Region'),
    where: { type: 'object', properties: { zone: text('Zone') } },
    count: { type: 'integer', 'x-mcp-header': 'Count' },
    dry: { type: 'boolean', 'x-mcp-header': 'Dry' },
  };
  return { name: 'mirrored', inputSchema: { type: 'object', properties } };
}
const cancelled: unknown[] = [];
const asked = new Map<string, (message: Message) => void>();
let tools = TOOLS;
let greeting: unknown;

const say = (message: object) => {
  process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
};
const text = (id: Message['id'], value: unknown, more: object = {}) =>
  say({
    id,
    result: { ...more, content: [{ type: 'text', text: typeof value === 'string' ? value : JSON.stringify(value) }] },
  });

createInterface({ input: process.stdin }).on('line', (line) => {
  const message = JSON.parse(line) as Message;
  const { id, method, params } = message;
  if (method === undefined) return asked.get(String(id))?.(message);
  const modern = params?._meta?.['io.modelcontextprotocol/protocolVersion'] !== undefined;
  if (modern && generation === '2025' && method !== 'tools/call')
    return say({ id, error: { code: -32601, message: 'Method not found' } });
  const done = modern ? { resultType: 'complete' } : {};
  switch (method) {
    case 'initialize':
      if (generation === '2026') return say({ id, error: { code: -32601, message: 'Method not found' } });
      greeting = params;
      return say({
        id,
        result: { protocolVersion: params.protocolVersion, capabilities, serverInfo: info, instructions: 'be kind' },
      });
    case 'server/discover':
      return say({
        id,
        result: {
          resultType: 'complete',
          supportedVersions: ['2026-07-28'],
          capabilities,
          _meta: { 'io.modelcontextprotocol/serverInfo': info },
        },
      });
    case 'ping':
      return say({ id, result: {} });
    case 'tools/list':
      return say({ id, result: { ...done, tools } });
    case 'notifications/cancelled':
      return cancelled.push(params.requestId);
    case 'resources/subscribe':
      say({ id, result: {} });
      return say({ method: 'notifications/resources/updated', params: { uri: params.uri } });
    case 'tools/call':
      return call(id, params, done);
    default:
      if (id !== undefined) say({ id, error: { code: -32601, message: `Method not found: ${method}` } });
  }
});

// biome-ignore lint/suspicious/noExplicitAny: see above
function call(id: Message['id'], params: any, done: object): unknown {
  const args = params.arguments ?? {};
  switch (params.name) {
    case 'echo':
      return text(id, args.message ?? '', done);
    case 'slow': {
      // So that a test knows that it has begun.
      const progressToken = params._meta?.progressToken;
      if (progressToken !== undefined)
        say({ method: 'notifications/progress', params: { progressToken, progress: 0 } });
      setTimeout(() => text(id, args.message ?? 'slept', done), args.ms ?? 200);
      return;
    }
    case 'progress': {
      const progressToken = params._meta?.progressToken;
      if (progressToken !== undefined)
        for (let progress = 1; progress <= 3; progress += 1)
          say({ method: 'notifications/progress', params: { progressToken, progress, total: 3 } });
      return text(id, { token: progressToken ?? null }, done);
    }
    case 'ask': {
      if ('resultType' in done) {
        if (params.inputResponses !== undefined) {
          return text(id, { answers: params.inputResponses, state: params.requestState }, done);
        }
        const who = { method: 'elicitation/create', params: WHO };
        return say({ id, result: { resultType: 'input_required', inputRequests: { who }, requestState: 'kept' } });
      }
      const name = `q${asked.size + 1}`;
      asked.set(name, (answer) => text(id, answer.result ?? answer.error ?? null, done));
      return say({
        id: name,
        method: args.method ?? 'elicitation/create',
        params: args.params ?? WHO,
      });
    }
    case 'stderr':
      process.stderr.write('x'.repeat(args.bytes ?? 1024 * 1024), () => text(id, 'written', done));
      return;
    case 'die':
      process.kill(process.pid, 'SIGKILL');
      return;
    case 'fail':
      if (args.said) return say({ id, result: { ...done, content: [], isError: true } });
      return say({ id, error: { code: args.code ?? -32042, message: 'as asked', data: { kept: true } } });
    case 'flood':
      return text(id, 'y'.repeat(args.bytes ?? 100_000), done);
    case 'cancelled':
      return text(id, cancelled, done);
    case 'mirrored':
    case 'seen':
      return text(id, { greeting, params }, done);
    case 'change':
      tools = TOOLS.slice(0, 3);
      say({ method: 'notifications/tools/list_changed' });
      return text(id, 'changed', done);
    default:
      say({ id, error: { code: -32602, message: `Unknown tool: ${params.name}` } });
  }
}
