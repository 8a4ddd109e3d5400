import { createHmac, randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/** A server on stdio with everything that the official conformance suite asks of a server; the suite says what each thing must answer. */
interface Message {
  readonly id?: number | string;
  readonly method?: string;
  readonly params?: Params;
  readonly result?: Params;
  readonly error?: unknown;
}
type Params = Record<string, unknown>;

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==';
const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=';
const text = (said: string) => ({ type: 'text', text: said });
const image = { type: 'image', data: PNG, mimeType: 'image/png' };
const resource = (uri: string, mimeType: string, said: string) => ({
  type: 'resource',
  resource: { uri, mimeType, text: said },
});
const choices = (...words: string[]) => words.map((word) => ({ const: word, title: `Title of ${word}` }));

const say = (message: object) => {
  process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
};
const waiting = new Map<string, (message: Message) => void>();
const ask = (method: string, params: Params): Promise<Params> =>
  new Promise((resolve, reject) => {
    const id = `ask-${waiting.size + 1}`;
    waiting.set(id, ({ result, error }) => (result ? resolve(result) : reject(new Error(JSON.stringify(error)))));
    say({ id, method, params });
  });
const log = (data: string) => say({ method: 'notifications/message', params: { level: 'info', data } });
const elicited = async (message: string, properties: Params, required: string[] = []) => {
  const requestedSchema = { type: 'object', properties, required };
  const { action, content } = await ask('elicitation/create', { message, requestedSchema });
  return [text(`Elicitation completed: action=${String(action)}, content=${JSON.stringify(content ?? {})}`)];
};

/** What a request of 2026-07-28 needs to know before it is answered. */
type Wishes = Record<string, { readonly method: string; readonly params: Params }>;
const wish = (message: string, field: string, type = 'string') => ({
  method: 'elicitation/create',
  params: { message, requestedSchema: { type: 'object', properties: { [field]: { type } }, required: [field] } },
});
const sample = (said: string, maxTokens: number) => ({
  method: 'sampling/createMessage',
  params: { messages: [{ role: 'user', content: text(said) }], maxTokens },
});
const roots = { method: 'roots/list', params: {} };
const key = randomBytes(32);
const sealed = (state: string) => `${state}.${createHmac('sha256', key).update(state).digest('hex')}`;
const CAPABILITY: Record<string, string> = {
  'elicitation/create': 'elicitation',
  'sampling/createMessage': 'sampling',
  'roots/list': 'roots',
};
const META = 'io.modelcontextprotocol/';

/** Each as rounds of wishes; with more than one round, or a state, the state says which is next. */
const ASKING: Record<string, { readonly rounds: readonly Wishes[]; readonly state?: boolean }> = {
  test_input_required_result_elicitation: { rounds: [{ user_name: wish('What is your name?', 'name') }] },
  test_input_required_result_sampling: {
    rounds: [{ capital_question: sample('What is the capital of France?', 100) }],
  },
  test_input_required_result_list_roots: { rounds: [{ client_roots: roots }] },
  test_input_required_result_request_state: {
    rounds: [{ confirm: wish('Please confirm', 'ok', 'boolean') }],
    state: true,
  },
  test_input_required_result_tampered_state: {
    rounds: [{ confirm: wish('Please confirm', 'ok', 'boolean') }],
    state: true,
  },
  test_input_required_result_multiple_inputs: {
    rounds: [
      {
        user_name: wish('What is your name?', 'name'),
        greeting: sample('Generate a greeting', 50),
        client_roots: roots,
      },
    ],
    state: true,
  },
  test_input_required_result_multi_round: {
    rounds: [
      { step1: wish('Step 1: What is your name?', 'name') },
      { step2: wish('Step 2: What is your favorite color?', 'color') },
    ],
    state: true,
  },
  test_input_required_result_capabilities: {
    rounds: [{ user_name: wish('What is your name?', 'name'), greeting: sample('Generate a greeting', 50) }],
  },
  test_input_required_result_prompt: {
    rounds: [{ user_context: wish('What context should the prompt use?', 'context') }],
  },
};

/** @returns a result that asks, an error, or undefined when all is known */
function asking(name: string, params: Params): object | undefined {
  const { rounds, state = false } = ASKING[name] ?? { rounds: [] };
  const given = (params.inputResponses ?? {}) as Params;
  const [, number, seal] = /^(?:round-(\d))\.(\w+)$/.exec(String(params.requestState)) ?? [];
  if (params.requestState !== undefined && sealed(`round-${number}`) !== `round-${number}.${seal}`) {
    throw Object.assign(new Error('The state was tampered with'), { code: -32602 });
  }
  const at = Number(number ?? 0);
  const can = ((params._meta as Params)[`${META}clientCapabilities`] ?? {}) as Params;
  const open = Object.entries(rounds[at] ?? {}).filter(
    ([each, { method }]) => can[CAPABILITY[method] ?? ''] !== undefined && !isObject(given[each]),
  );
  const next = open.length > 0 ? at : at + 1;
  const wishes = open.length > 0 ? Object.fromEntries(open) : rounds[next];
  if (wishes === undefined) return undefined;
  return {
    resultType: 'input_required',
    inputRequests: wishes,
    ...(state || rounds.length > 1 ? { requestState: sealed(`round-${next}`) } : {}),
  };
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

type Tool = (args: Params, token: unknown) => Promise<unknown> | unknown;
const TOOLS: Record<string, Tool> = {
  test_simple_text: () => [text('This is a simple text response for testing.')],
  test_image_content: () => [image],
  test_audio_content: () => [{ type: 'audio', data: WAV, mimeType: 'audio/wav' }],
  test_embedded_resource: () => [
    resource('test://embedded-resource', 'text/plain', 'This is an embedded resource content.'),
  ],
  test_multiple_content_types: () => [
    text('Multiple content types test:'),
    image,
    resource('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}'),
  ],
  async test_tool_with_logging() {
    log('Tool execution started');
    await sleep(50);
    log('Tool processing data');
    await sleep(50);
    log('Tool execution completed');
    return [text('logged')];
  },
  async test_tool_with_progress(_args, progressToken) {
    for (const progress of [0, 50, 100]) {
      if (progressToken !== undefined) {
        say({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
      }
      await sleep(50);
    }
    return [text('done')];
  },
  async test_sampling({ prompt }) {
    const messages = [{ role: 'user', content: text(String(prompt)) }];
    const { content } = await ask('sampling/createMessage', { messages, maxTokens: 100 });
    return [text(`LLM response: ${String((content as Params).text)}`)];
  },
  async test_elicitation({ message }) {
    const username = { type: 'string', description: "User's response" };
    const email = { type: 'string', description: "User's email address" };
    return elicited(String(message), { username, email }, ['username', 'email']);
  },
  test_elicitation_sep1034_defaults: () =>
    elicited('defaults', {
      name: { type: 'string', default: 'John Doe' },
      age: { type: 'integer', default: 30 },
      score: { type: 'number', default: 95.5 },
      status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
      verified: { type: 'boolean', default: true },
    }),
  test_elicitation_sep1330_enums: () =>
    elicited('enums', {
      untitledSingle: { type: 'string', enum: ['option1', 'option2', 'option3'] },
      titledSingle: { type: 'string', oneOf: choices('value1', 'value2', 'value3') },
      legacyEnum: { type: 'string', enum: ['opt1', 'opt2', 'opt3'], enumNames: ['One', 'Two', 'Three'] },
      untitledMulti: { type: 'array', items: { type: 'string', enum: ['option1', 'option2', 'option3'] } },
      titledMulti: { type: 'array', items: { anyOf: choices('value1', 'value2', 'value3') } },
    }),
  test_error_handling() {
    throw new Error('This tool intentionally returns an error for testing');
  },
  async test_reconnection() {
    // Something to say before the answer makes it a stream.
    log('working');
    await sleep(200);
    return [text('reconnected')];
  },
  json_schema_2020_12_tool: () => [text('ok')],
  test_missing_capability: () => [text('sampled')],
  test_streaming_elicitation: () => [text('ok')],
};
const NEEDS: Record<string, Params> = { test_missing_capability: { sampling: {} } };
const SCHEMAS: Record<string, object> = {
  test_sampling: { type: 'object', properties: { prompt: { type: 'string' } }, required: ['prompt'] },
  test_elicitation: { type: 'object', properties: { message: { type: 'string' } }, required: ['message'] },
  json_schema_2020_12_tool: {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    $defs: { address: { type: 'object', properties: { street: { type: 'string' }, city: { type: 'string' } } } },
    properties: { name: { type: 'string' }, address: { $ref: '#/$defs/address' } },
    additionalProperties: false,
  },
};

const user = (content: object) => ({ role: 'user', content });
const PROMPTS: Record<string, (args: Params) => object[]> = {
  test_simple_prompt: () => [user(text('This is a simple prompt for testing.'))],
  test_prompt_with_arguments: ({ arg1, arg2 }) => [
    user(text(`Prompt with arguments: arg1='${String(arg1)}', arg2='${String(arg2)}'`)),
  ],
  test_prompt_with_embedded_resource: ({ resourceUri }) => [
    user(resource(String(resourceUri), 'text/plain', 'Embedded resource content for testing.')),
    user(text('Please process the embedded resource above.')),
  ],
  test_prompt_with_image: () => [user(image), user(text('Please analyze the image above.'))],
};
const ARGUMENTS: Record<string, string[]> = {
  test_prompt_with_arguments: ['arg1', 'arg2'],
  test_prompt_with_embedded_resource: ['resourceUri'],
};

function read(uri: string): object {
  if (uri === 'test://static-binary') return { uri, mimeType: 'image/png', blob: PNG };
  const id = /^test:\/\/template\/(.+)\/data$/.exec(uri)?.[1];
  if (id === undefined)
    return { uri, mimeType: 'text/plain', text: 'This is the content of the static text resource.' };
  const data = { id, templateTest: true, data: `Data for ID: ${id}` };
  return { uri, mimeType: 'application/json', text: JSON.stringify(data) };
}

const CAPABILITIES = {
  tools: { listChanged: true },
  resources: { subscribe: true, listChanged: true },
  prompts: { listChanged: true },
  logging: {},
  completions: {},
};

async function answer(method: string, params: Params): Promise<object> {
  const name = String(params.name);
  const meta = (params._meta ?? {}) as Params;
  const modern = meta[`${META}protocolVersion`] !== undefined;
  if (modern && (method === 'tools/call' || method === 'prompts/get')) {
    const can = (meta[`${META}clientCapabilities`] ?? {}) as Params;
    const lacking = Object.keys(NEEDS[name] ?? {}).filter((each) => can[each] === undefined);
    if (lacking.length > 0) {
      throw Object.assign(new Error('A capability is missing'), {
        code: -32021,
        data: { requiredCapabilities: NEEDS[name] },
      });
    }
    const wanted = asking(name, params);
    if (wanted) return wanted;
    if (ASKING[name]) {
      const said = `Thanks, state-ok: ${JSON.stringify(params.inputResponses)}`;
      return method === 'tools/call' ? { content: [text(said)] } : { messages: [user(text(said))] };
    }
  }
  const args = (params.arguments ?? {}) as Params;
  switch (method) {
    case 'server/discover':
      return { supportedVersions: ['2026-07-28'], capabilities: CAPABILITIES };
    case 'initialize':
      return {
        protocolVersion: params.protocolVersion,
        serverInfo: { name: 'conformance', version: '1.0.0' },
        capabilities: CAPABILITIES,
      };
    case 'tools/list': {
      const tools = [...Object.keys(TOOLS), ...Object.keys(ASKING)].map((each) => ({
        name: each,
        description: `The suite's ${each}`,
        inputSchema: SCHEMAS[each] ?? { type: 'object', properties: {} },
      }));
      return { tools };
    }
    case 'tools/call':
      try {
        return { content: await TOOLS[name]?.(args, (params._meta as Params | undefined)?.progressToken) };
      } catch (error) {
        return { isError: true, content: [text((error as Error).message)] };
      }
    case 'resources/list': {
      const uris = ['test://static-text', 'test://static-binary', 'test://watched-resource'];
      return { resources: uris.map((uri) => ({ uri, name: uri, description: `The suite's ${uri}` })) };
    }
    case 'resources/templates/list':
      return {
        resourceTemplates: [{ uriTemplate: 'test://template/{id}/data', name: 'template', description: 'A template' }],
      };
    case 'resources/read':
      if (String(params.uri).includes('nonexistent')) {
        throw Object.assign(new Error('Resource not found'), { code: -32602, data: { uri: params.uri } });
      }
      return { contents: [read(String(params.uri))] };
    case 'prompts/list': {
      const prompts = Object.keys(PROMPTS).map((each) => ({
        name: each,
        description: `The suite's ${each}`,
        arguments: (ARGUMENTS[each] ?? []).map((argument) => ({
          name: argument,
          description: argument,
          required: true,
        })),
      }));
      return { prompts };
    }
    case 'prompts/get':
      return { messages: PROMPTS[name]?.(args) ?? [] };
    case 'completion/complete':
      return { completion: { values: [], total: 0, hasMore: false } };
    case 'ping':
    case 'logging/setLevel':
    case 'resources/subscribe':
    case 'resources/unsubscribe':
      return {};
    default:
      throw Object.assign(new Error(`Method not found: ${method}`), { code: -32601 });
  }
}

const HINTS = {
  ttlMs: 0,
  cacheScope: 'private',
  _meta: { [`${META}serverInfo`]: { name: 'conformance', version: '1.0.0' } },
};

createInterface({ input: process.stdin }).on('line', (line) => {
  const message = JSON.parse(line) as Message;
  const { id, method, params = {} } = message;
  const meta = (params._meta ?? {}) as Params;
  const added = meta[`${META}protocolVersion`] === undefined ? {} : { resultType: 'complete', ...HINTS };
  if (method === undefined) waiting.get(String(id))?.(message);
  else if (method === 'subscriptions/listen') return;
  else if (id !== undefined) {
    answer(method, params).then(
      (result) => say({ id, result: { ...added, ...result } }),
      ({ code = -32603, message: said, data }: Error & { code?: number; data?: unknown }) =>
        say({ id, error: { code, message: said, data } }),
    );
  }
});
