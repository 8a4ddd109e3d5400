import http from 'node:http';

/** `load.ts URL CLIENTS SECONDS BYTES TOKEN`: clients that call echo one after another, each in a session of its own; checks every answer. */
const [url = '', clients = '1', seconds = '3', bytes = '100', token = ''] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: Number(clients) });
const target = new URL(url);
const times: number[] = [];
let wrong = 0;
let stop = false;

/** So long that the mark at the start of a text is among them, whatever stands around it. */
const HEAD = 1024;
const filler = Buffer.alloc(Number(bytes), 'x');

/** Costs as little as one can, or the measuring client is what is measured. @returns the beginning of the answer, and its length */
function post(
  parts: readonly (string | Buffer)[],
  session: string | undefined,
): Promise<{ head: string; length: number; session: string | undefined }> {
  return new Promise((resolve, reject) => {
    const request = http.request(
      target,
      {
        method: 'POST',
        agent,
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          'content-length': parts.reduce((sum, part) => sum + part.length, 0),
          ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
          ...(session === undefined ? {} : { 'mcp-session-id': session, 'mcp-protocol-version': '2025-06-18' }),
        },
      },
      (response) => {
        let head = '';
        let length = 0;
        response.on('data', (part: Buffer) => {
          if (length < HEAD) head += part.toString('latin1', 0, HEAD);
          length += part.length;
        });
        response.on('end', () => {
          const id = response.headers['mcp-session-id'];
          resolve({ head, length, session: typeof id === 'string' ? id : session });
        });
      },
    );
    request.on('error', reject);
    for (const part of parts.slice(0, -1)) request.write(part);
    request.end(parts.at(-1));
  });
}

async function client(number: number): Promise<void> {
  const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'load', version: '1' } };
  const hello = await post([JSON.stringify({ jsonrpc: '2.0', id: 0, method: 'initialize', params })], undefined);
  await post(['{"jsonrpc":"2.0","method":"notifications/initialized"}'], hello.session);
  for (let id = 1; !stop; id += 1) {
    const mark = `${number}:${id}:`;
    const start = `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{"name":"echo","arguments":{"message":"${mark}`;
    const rest = Number(bytes) - mark.length;
    const parts =
      rest < HEAD ? [`${start}${'x'.repeat(Math.max(0, rest))}"}}}`] : [start, filler.subarray(0, rest), '"}}}'];
    const begun = performance.now();
    const { head, length } = await post(parts, hello.session);
    times.push(performance.now() - begun);
    if (!head.includes(`"${mark}`) || length < Number(bytes)) wrong += 1;
  }
}

// The first half second warms everything up.
setTimeout(() => {
  times.length = 0;
  wrong = 0;
}, 500);
const begun = performance.now();
setTimeout(
  () => {
    stop = true;
  },
  Number(seconds) * 1000 + 500,
);
await Promise.all(Array.from({ length: Number(clients) }, (_, number) => client(number)));
const elapsed = (performance.now() - begun - 500) / 1000;
times.sort((a, b) => a - b);
const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
console.log(
  JSON.stringify({ perSecond: times.length / elapsed, p50: at(0.5), p99: at(0.99), calls: times.length, wrong }),
);
agent.destroy();
