import { spawn } from 'node:child_process';
import http from 'node:http';
import { fileURLToPath } from 'node:url';

/** `bare.ts PORT [COMMAND…]`: the least that can pass HTTP on to a server on stdio: no check, no session, no limit. What a proxy costs is measured against it. */
const echo = [process.execPath, '--no-warnings', fileURLToPath(new URL('./echo.ts', import.meta.url))];
const [program = '', ...args] = process.argv.length > 3 ? process.argv.slice(3) : echo;
const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
const waiting = new Map<number, { readonly id: unknown; readonly response: http.ServerResponse }>();
let next = 1;
let rest = '';
child.stdout.setEncoding('utf8');
child.stdout.on('data', (chunk: string) => {
  const lines = (rest + chunk).split('\n');
  rest = lines.pop() ?? '';
  for (const line of lines) {
    const message = JSON.parse(line) as { id: number };
    const found = waiting.get(message.id);
    waiting.delete(message.id);
    if (!found) continue;
    const body = Buffer.from(JSON.stringify({ ...message, id: found.id }));
    found.response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': body.length,
      'mcp-session-id': 'one',
    });
    found.response.end(body);
  }
});
const server = http.createServer((request, response) => {
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.on('end', () => {
    const message = JSON.parse(Buffer.concat(parts).toString()) as { id?: unknown };
    if (message.id === undefined) {
      response.writeHead(202).end();
      return;
    }
    const id = next++;
    waiting.set(id, { id: message.id, response });
    child.stdin.write(`${JSON.stringify({ ...message, id })}\n`);
  });
});
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  console.log(JSON.stringify(server.address()));
});
