import { writeFileSync } from 'node:fs';
import type { SerializedError } from 'vitest';
import type { Reporter, TestModule } from 'vitest/node';

export interface Count {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Why tests were skipped, as the tests themselves say it, with how many. */
  readonly reasons: Readonly<Record<string, number>>;
  /** What failed and why, to be told once more at the end: of a long run often only that is kept. */
  readonly failures: readonly string[];
}

/** Counts for the closing line, written to the file that `MCP_BUILD_TEST_COUNT` names. */
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const file = process.env.MCP_BUILD_TEST_COUNT;
    if (file) writeFileSync(file, JSON.stringify(count(modules, unhandled)));
  }
}

/** A file or suite that fails outside its tests, and an error nobody caught, are failures too: no test would count them. */
export function count(modules: readonly TestModule[], unhandled: readonly Pick<SerializedError, 'message'>[]): Count {
  let passed = 0;
  const failures: string[] = [];
  const fail = (name: string, errors: readonly Pick<SerializedError, 'message'>[]) =>
    failures.push(`${name}: ${errors.map(({ message }) => message.slice(0, 600)).join('; ')}`);
  for (const error of unhandled) fail('nobody caught', [error]);
  let skipped = 0;
  const reasons: Record<string, number> = {};
  for (const module of modules) {
    for (const error of module.errors()) fail(module.relativeModuleId, [error]);
    for (const suite of module.children.allSuites())
      for (const error of suite.errors()) fail(`${module.relativeModuleId} > ${suite.fullName}`, [error]);
    for (const test of module.children.allTests()) {
      const result = test.result();
      if (result.state === 'passed') passed += 1;
      else if (result.state === 'skipped') {
        skipped += 1;
        const reason = result.note ?? reasonInName(test.fullName) ?? `no reason given: ${test.fullName}`;
        reasons[reason] = (reasons[reason] ?? 0) + 1;
      } else fail(`${module.relativeModuleId} > ${test.fullName}`, result.errors ?? []);
    }
  }
  return { passed, failed: failures.length, skipped, reasons, failures };
}

/** `describeWith` puts the reason in the name of the suite, since a skipped suite can hold no note. */
function reasonInName(name: string): string | undefined {
  return /\[skipped: ([^\]]+)\]/.exec(name)?.[1];
}
