import http from 'node:http';

export interface GatewayLoadOptions {
  /** Of one server, without `/mcp`. */
  readonly url: string;
  readonly token: string;
  readonly clients: number;
  /** What a client asks again and again, and the text that nobody else is answered. */
  readonly call: (client: number) => { readonly name: string; readonly arguments: object; readonly answer: string };
}

/** Clients that never stop asking, whatever fails, and look at every answer. Every fourth listens by HTTP+SSE. */
export interface GatewayLoad {
  /** Settles when every client has been answered a few times from now on. @returns milliseconds */
  healthy(timeout?: number): Promise<number>;
  answered(): number;
  failed(): number;
  /** Answers to another's question, twice, or to none. */
  wrong(): readonly string[];
  stop(): Promise<void>;
}

interface Answer {
  readonly id?: unknown;
  readonly result?: { readonly content?: readonly { readonly text?: string }[]; readonly isError?: boolean };
  readonly error?: { readonly code: number; readonly message: string };
}

/** Answers in a row after which a client counts as served. */
const ENOUGH = 5;
const PAUSE = 50;
/** One that isn't answered for so long never will be: in milliseconds. */
const PATIENCE = 30_000;

export function gatewayLoad({ url, token, clients, call }: GatewayLoadOptions): GatewayLoad {
  const agent = new http.Agent({ keepAlive: true });
  const served = new Array<number>(clients).fill(0);
  const wrong: string[] = [];
  const counts = { answered: 0, failed: 0 };
  let stopped = false;

  const judge = (client: number, id: number, { id: given, result, error }: Answer) => {
    const { answer } = call(client);
    if (given !== id) wrong.push(`client ${client} asked ${id} and was answered ${JSON.stringify(given)}`);
    const text = result?.content?.[0]?.text;
    if (error || result?.isError) return failed(client);
    if (text !== answer) wrong.push(`client ${client} was answered ${JSON.stringify(result).slice(0, 200)}`);
    counts.answered += 1;
    served[client] = (served[client] ?? 0) + 1;
  };
  const failed = (client: number) => {
    counts.failed += 1;
    served[client] = 0;
  };
  const request = (id: number, client: number) => {
    const { name, arguments: given } = call(client);
    return { jsonrpc: '2.0', id, method: 'tools/call', params: { name, arguments: given } };
  };
  const INITIALIZE = {
    jsonrpc: '2.0',
    id: 0,
    method: 'initialize',
    params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'load', version: '1' } },
  };

  async function streamable(client: number): Promise<void> {
    let session: string | undefined;
    for (let id = 1; !stopped; id += 1) {
      try {
        if (session === undefined) {
          const hello = await post(`${url}/mcp`, INITIALIZE);
          session = hello.session;
          if (session === undefined) throw new Error(hello.text);
        }
        const { status, text } = await post(`${url}/mcp`, request(id, client), session);
        if (status === 404) session = undefined;
        const data = [...text.matchAll(/^data: (.+)$/gm)].map((match) => match[1] as string);
        if (data.length > 1) wrong.push(`client ${client} was answered ${data.length} times`);
        judge(client, id, JSON.parse(data[0] ?? text) as Answer);
      } catch {
        session = undefined;
        failed(client);
      }
      if (served[client] === 0) await pause();
    }
  }

  async function overSse(client: number): Promise<void> {
    let id = 1;
    while (!stopped) {
      try {
        await using stream = await listen(`${url}/sse`, (answer) =>
          wrong.push(`client ${client} heard ${JSON.stringify(answer).slice(0, 200)}`),
        );
        await stream.ask(0, INITIALIZE);
        for (; !stopped; id += 1) {
          judge(client, id, await stream.ask(id, request(id, client)));
          if (served[client] === 0) await pause();
        }
      } catch {
        id += 1;
        failed(client);
        await pause();
      }
    }
  }

  async function listen(address: string, strange: (answer: Answer) => unknown) {
    const waiting = new Map<unknown, PromiseWithResolvers<Answer>>();
    const ended = Promise.withResolvers<never>();
    ended.promise.catch(() => undefined);
    const endpoint = Promise.withResolvers<string>();
    const opened = http.get(address, { headers: { authorization: `Bearer ${token}` } }, (response) => {
      let rest = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        const blocks = (rest + chunk).split('\n\n');
        rest = blocks.pop() ?? '';
        for (const block of blocks) {
          const data = /^data: (.*)$/m.exec(block)?.[1];
          if (data === undefined) continue;
          if (block.startsWith('event: endpoint')) endpoint.resolve(new URL(data, address).href);
          else {
            const answer = JSON.parse(data) as Answer;
            const found = waiting.get(answer.id);
            if (!waiting.delete(answer.id)) strange(answer);
            found?.resolve(answer);
          }
        }
      });
      response.once('close', () => ended.reject(new Error('the stream ended')));
    });
    opened.once('error', (error) => ended.reject(error));
    const to = await Promise.race([endpoint.promise, ended.promise, late()]);
    return {
      async ask(id: number, body: object): Promise<Answer> {
        const answer = Promise.withResolvers<Answer>();
        waiting.set(id, answer);
        const { status } = await post(to, body);
        if (status !== 202) throw new Error(`status ${status}`);
        return Promise.race([answer.promise, ended.promise, late()]);
      },
      async [Symbol.asyncDispose]() {
        opened.destroy();
      },
    };
  }

  function post(address: string, body: object, session?: string) {
    return new Promise<{ status: number; text: string; session: string | undefined }>((resolve, reject) => {
      const sent = http.request(
        address,
        {
          method: 'POST',
          agent,
          timeout: PATIENCE,
          headers: {
            'content-type': 'application/json',
            accept: 'application/json, text/event-stream',
            authorization: `Bearer ${token}`,
            ...(session === undefined ? {} : { 'mcp-session-id': session }),
          },
        },
        (response) => {
          const parts: Buffer[] = [];
          response.on('data', (part: Buffer) => parts.push(part));
          response.once('error', reject);
          response.once('end', () => {
            const given = response.headers['mcp-session-id'];
            resolve({
              status: response.statusCode ?? 0,
              text: Buffer.concat(parts).toString(),
              session: typeof given === 'string' ? given : undefined,
            });
          });
        },
      );
      sent.once('timeout', () => sent.destroy(new Error('no answer')));
      sent.once('error', reject);
      sent.end(JSON.stringify(body));
    });
  }

  const running = Array.from({ length: clients }, (_, client) =>
    client % 4 === 3 ? overSse(client) : streamable(client),
  );
  return {
    async healthy(timeout = 90_000) {
      const begun = performance.now();
      served.fill(0);
      while (served.some((count) => count < ENOUGH)) {
        if (performance.now() - begun > timeout)
          throw new Error(`not healed: ${JSON.stringify({ served, ...counts })}`);
        await pause();
      }
      return Math.round(performance.now() - begun);
    },
    answered: () => counts.answered,
    failed: () => counts.failed,
    wrong: () => wrong,
    async stop() {
      stopped = true;
      await Promise.all(running);
      agent.destroy();
    },
  };
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PAUSE));
}

function late(): Promise<never> {
  return new Promise((_resolve, reject) => setTimeout(() => reject(new Error('no answer')), PATIENCE).unref());
}
