/** The server behind every peer: it answers a call with the text it was given, and costs as little as one can, or it is what is measured. */
const NEWLINE = 10;
const BACKSLASH = 92;
/** From here on a text is copied as it stands, in bytes. */
const LONG = 4096;
const MESSAGE = '"message":"';
let held: Buffer[] = [];

process.stdin.on('data', (chunk: Buffer) => {
  const out: Buffer[] = [];
  let from = 0;
  for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
    const end = chunk.subarray(from, at);
    const line = held.length === 0 ? end : Buffer.concat([...held, end]);
    held = [];
    from = at + 1;
    out.push(...((line.length > LONG ? longAnswer(line) : undefined) ?? [Buffer.from(answer(line.toString()))]));
  }
  if (from < chunk.length) held.push(from === 0 ? chunk : chunk.subarray(from));
  if (out.length > 0) process.stdout.write(out.length === 1 ? (out[0] as Buffer) : Buffer.concat(out));
});

/** Reads all but the text, in whatever order the members stand. @returns undefined where the text isn't one that can be copied */
function longAnswer(line: Buffer): Buffer[] | undefined {
  const start = line.indexOf(MESSAGE) + MESSAGE.length;
  const end = line.indexOf('"', start);
  if (start < MESSAGE.length || end < 0) return undefined;
  const text = line.subarray(start, end);
  if (text.includes(BACKSLASH)) return undefined;
  const { id, method } = JSON.parse(`${line.toString('utf8', 0, start)}${line.toString('utf8', end)}`) as Message;
  if (id === undefined || method !== 'tools/call') return undefined;
  const [head = '', tail = ''] = reply(id, { content: [{ type: 'text', text: '|' }] }).split('|');
  return [Buffer.from(head), text, Buffer.from(tail)];
}

interface Message {
  readonly id?: number;
  readonly method: string;
  readonly params?: { readonly protocolVersion?: string; readonly arguments?: { readonly message?: string } };
}

function answer(line: string): string {
  const { id, method, params } = JSON.parse(line) as Message;
  if (id === undefined) return '';
  switch (method) {
    case 'initialize':
      return reply(id, {
        protocolVersion: params?.protocolVersion ?? '2025-06-18',
        capabilities: { tools: {} },
        serverInfo: { name: 'echo', version: '1.0.0' },
      });
    case 'tools/list':
      return reply(id, { tools: [{ name: 'echo', description: 'Echoes', inputSchema: { type: 'object' } }] });
    case 'tools/call':
      return reply(id, { content: [{ type: 'text', text: params?.arguments?.message ?? '' }] });
    case 'ping':
      return reply(id, {});
    default:
      return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"error":{"code":-32601,"message":"Method not found"}}\n`;
  }
}

function reply(id: number, result: object): string {
  return `{"result":${JSON.stringify(result)},"jsonrpc":"2.0","id":${JSON.stringify(id)}}\n`;
}
