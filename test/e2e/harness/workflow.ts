import { spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { parse } from 'yaml';
import { root } from './tree.ts';

/** What steps see of the world around them. */
export interface Runner {
  /** The repository that is checked out already. */
  readonly workspace: string;
  /** RUNNER_TEMP, and the files that steps speak to the runner by. */
  readonly temp: string;
  /** All that a job's machine sets; nothing of this process's own. */
  readonly env: Readonly<Record<string, string>>;
  readonly secrets: Readonly<Record<string, string>>;
  /** Of the `github` context. */
  readonly github: Readonly<Record<string, string>>;
}

interface Step {
  readonly id?: string;
  readonly uses?: string;
  readonly run?: string;
  readonly if?: string;
  readonly with?: Readonly<Record<string, string | boolean>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly 'working-directory'?: string;
}

type Contexts = Readonly<Record<string, Readonly<Record<string, unknown>>>>;
type Inputs = Readonly<Record<string, string>>;

interface Definition {
  readonly on?: { readonly workflow_call?: { readonly inputs?: Readonly<Record<string, { default?: unknown }>> } };
  readonly inputs?: Readonly<Record<string, { default?: unknown }>>;
  readonly jobs?: Readonly<Record<string, { readonly steps: readonly Step[] }>>;
  readonly runs?: { readonly steps: readonly Step[] };
}

/**
 * Runs one job of a workflow of this repository as GitHub would: its steps in order, composite actions of `$/…` in it, with the files
 * and variables by which steps speak to the runner. Actions of others (checkout) count as done. @returns what it printed
 * @throws Error with that, when a step fails
 */
export async function runJob(workflow: string, job: string, inputs: Inputs, runner: Runner): Promise<string> {
  const definition = await read(`.github/workflows/${workflow}`);
  const steps = definition.jobs?.[job]?.steps;
  if (!steps) throw new Error(`${workflow} has no job ${job}`);
  const given = { ...defaults(definition.on?.workflow_call?.inputs), ...inputs };
  return runSteps(steps, { inputs: given, secrets: runner.secrets, github: runner.github }, runner, { path: [] });
}

/** Runs a composite action by itself. */
export async function runAction(action: string, inputs: Inputs, runner: Runner): Promise<string> {
  return runSteps(
    [{ uses: `$/.github/actions/${action}`, with: inputs }],
    { inputs: {}, secrets: runner.secrets, github: runner.github },
    runner,
    { path: [] },
  );
}

async function read(file: string): Promise<Definition> {
  return parse(await readFile(join(root, file), 'utf8')) as Definition;
}

function defaults(inputs: Definition['inputs']): Inputs {
  return Object.fromEntries(Object.entries(inputs ?? {}).map(([name, input]) => [name, String(input.default ?? '')]));
}

/** @param job what outlives a step: the folders that GITHUB_PATH was given */
async function runSteps(
  steps: readonly Step[],
  contexts: Contexts,
  runner: Runner,
  job: { path: string[] },
): Promise<string> {
  let printed = '';
  const outputs: Record<string, { outputs: Record<string, string> }> = {};
  for (const step of steps) {
    const known = { ...contexts, steps: outputs };
    if (step.if !== undefined && !holds(step.if, known)) continue;
    if (step.uses?.startsWith('$/')) {
      const folder = step.uses.slice(2);
      const action = await read(`${folder}/action.yml`);
      const inputs = Object.fromEntries(
        Object.entries(step.with ?? {}).map(([name, value]) => [name, filled(String(value), known)]),
      );
      printed += await runSteps(
        action.runs?.steps ?? [],
        {
          ...contexts,
          inputs: { ...defaults(action.inputs), ...inputs },
          github: { ...contexts.github, action_path: join(root, folder) },
        },
        runner,
        job,
      );
    } else if (step.run !== undefined) {
      const result = await runScript(step, known, runner, job.path);
      printed += result.printed;
      if (step.id) outputs[step.id] = { outputs: result.outputs };
    }
  }
  return printed;
}

async function runScript(step: Step, contexts: Contexts, runner: Runner, path: string[]) {
  const files = Object.fromEntries(
    ['GITHUB_PATH', 'GITHUB_OUTPUT', 'GITHUB_ENV'].map((name) => [name, join(runner.temp, name)]),
  );
  await mkdir(runner.temp, { recursive: true });
  for (const file of Object.values(files)) await writeFile(file, '');
  const script = join(runner.temp, 'step.sh');
  await writeFile(script, step.run ?? '');
  const env = {
    ...runner.env,
    ...files,
    RUNNER_TEMP: runner.temp,
    GITHUB_STEP_SUMMARY: join(runner.temp, 'summary.md'),
    PATH: [...path, runner.env.PATH ?? ''].join(delimiter),
    ...Object.fromEntries(Object.entries(step.env ?? {}).map(([name, value]) => [name, filled(value, contexts)])),
  };
  const cwd = join(runner.workspace, filled(step['working-directory'] ?? '.', contexts));
  const { code, printed } = await execute('bash', ['--noprofile', '--norc', '-eo', 'pipefail', script], cwd, env);
  if (code !== 0) throw new Error(`${step.run} ended with ${code}:\n${printed}`);
  path.unshift(...(await readFile(files.GITHUB_PATH ?? '', 'utf8')).split('\n').filter(Boolean));
  const lines = (await readFile(files.GITHUB_OUTPUT ?? '', 'utf8')).split('\n').filter(Boolean);
  return {
    printed,
    outputs: Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    ),
  };
}

/** Runs a program with exactly these variables. */
export async function execute(
  command: string,
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>>,
): Promise<{ readonly code: number; readonly printed: string }> {
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let printed = '';
  const collect = (chunk: Buffer) => {
    printed += chunk.toString();
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const timer = setTimeout(() => child.kill('SIGKILL'), 280_000);
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exit) => resolve(exit ?? 137));
  });
  clearTimeout(timer);
  return { code, printed };
}

/** The few expressions that our workflows hold: a value, or the first of several that isn't empty. */
function filled(text: string, contexts: Contexts): string {
  return text.replace(/\$\{\{\s*(.*?)\s*\}\}/g, (_, expression: string) => {
    for (const operand of expression.split('||')) {
      const value = valueIn(operand.trim(), contexts);
      if (value !== '') return value;
    }
    return '';
  });
}

function holds(condition: string, contexts: Contexts): boolean {
  const [left = '', right = ''] = condition.split('==').map((side) => side.trim());
  return valueIn(left, contexts) === right.replace(/^'|'$/g, '');
}

function valueIn(path: string, contexts: Contexts): string {
  let value: unknown = contexts;
  for (const key of path.split('.')) value = (value as Record<string, unknown> | undefined)?.[key];
  return value === undefined ? '' : String(value);
}
