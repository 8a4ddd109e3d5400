/** The server behind every peer: it answers a call with the text it was given, and costs as little as one can. */
let rest = '';
process.stdin.setEncoding('utf8');
process.stdin.on('data', (chunk: string) => {
  const lines = (rest + chunk).split('\n');
  rest = lines.pop() ?? '';
  let out = '';
  for (const line of lines) out += answer(line);
  if (out !== '') process.stdout.write(out);
});

function answer(line: string): string {
  const { id, method, params } = JSON.parse(line) as {
    id?: number;
    method: string;
    params?: { protocolVersion?: string; arguments?: { message?: string } };
  };
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
