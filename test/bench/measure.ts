import { execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../e2e/harness/tree.ts';

export interface Measured {
  /** Wall clock, in seconds. */
  readonly seconds: number;
  /** Peak resident memory of the process itself, in bytes; 0 where it isn't known. */
  readonly memory: number;
}

export interface Contender {
  readonly name: string;
  /** Brings the world into the state that each round starts from; not measured. */
  readonly before?: () => Promise<void>;
  readonly command: readonly string[];
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * Runs the contenders in turn, A B C A B C …, so that a machine that gets slower gets slower for all of them, after one round that isn't
 * counted. @returns each one's rounds, in order
 */
export async function sideBySide(
  contenders: readonly Contender[],
  rounds: number,
): Promise<ReadonlyMap<string, readonly Measured[]>> {
  const results = new Map<string, Measured[]>(contenders.map(({ name }) => [name, []]));
  for (let round = -1; round < rounds; round += 1) {
    for (const contender of contenders) {
      await contender.before?.();
      const measured = await run(contender);
      if (round >= 0) results.get(contender.name)?.push(measured);
    }
  }
  return results;
}

/** The program as it is published, built now: what users run. */
export function published(): string {
  execFileSync(process.execPath, ['.ci/build.ts'], { cwd: root, stdio: 'inherit' });
  return join(root, 'dist/cli/main.js');
}

/** The median over all rounds of `of`'s seconds divided by `by`'s. */
export function ratio(results: ReadonlyMap<string, readonly Measured[]>, of: string, by: string): number {
  const numerators = results.get(of) ?? [];
  const denominators = results.get(by) ?? [];
  return median(numerators.map(({ seconds }, at) => seconds / (denominators[at]?.seconds ?? Number.NaN)));
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function run({ name, command, cwd, env }: Contender): Promise<Measured> {
  const [program = '', ...args] = command;
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, env: env ?? process.env, stdio: ['ignore', 'ignore', 'pipe'] });
    let memory = 0;
    let tail = '';
    child.stderr.on('data', (chunk: Buffer) => {
      tail = (tail + chunk.toString()).slice(-2000);
    });
    const timer = setInterval(() => {
      memory = Math.max(memory, peakOf(child.pid));
    }, 10);
    child.once('error', reject);
    child.once('close', (code) => {
      clearInterval(timer);
      const seconds = (performance.now() - started) / 1000;
      if (code === 0) resolve({ seconds, memory });
      else reject(new Error(`${name}: ${command.join(' ')} ended with ${code}: ${tail}`));
    });
  });
}

/** VmHWM is the highest so far: the last look before the end misses only what grew after it. */
function peakOf(pid: number | undefined): number {
  try {
    return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** One line a result, with what was hoped for. */
export function report(
  title: string,
  lines: readonly { what: string; measured: number; target?: number; unit?: string }[],
): void {
  console.log(`\n${title}`);
  for (const { what, measured, target, unit = '×' } of lines) {
    const goal = target === undefined ? '' : `  (target ≤ ${target} ${unit}${measured <= target ? '' : ', MISSED'})`;
    console.log(`  ${measured.toFixed(2)} ${unit}  ${what}${goal}`);
  }
}
