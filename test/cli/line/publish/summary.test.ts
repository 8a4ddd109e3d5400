import { describe, expect, it } from 'vitest';
import { exitCodeOf, jsonOf, markdownOf, type Outcome, rowsOf } from '../../../../cli/line/publish/index.ts';
import { sha256 } from '../../../../digest/index.ts';
import { type ExitCode, McpBuildError } from '../../../../errors/index.ts';
import { finding } from '../../../../vetting/index.ts';

const done: Outcome = {
  ...{
    name: 'alpha',
    version: '1.0.0',
    image: 'r.example.test/mcp/alpha',
    took: 1200,
    status: 'published',
    why: 'new',
  },
  digest: sha256('x'),
  tags: ['1.0.0-0123456789ab', '1.0.0'],
  test: { skipped: 'no `Docker`' },
  findings: [finding('deprecated', 'npm:x@1', 'Use <b>another</b> | @everyone')],
  sent: 12,
};
const failed = (name: string, exit: ExitCode): Outcome => ({
  ...{ name, took: 3, status: 'failed' },
  error: new McpBuildError({ code: 'lock-outdated', message: `${name}\nis old`, fix: 'Lock it.', exit }),
});

describe('a summary', () => {
  it('says by its exit code what failed, and that several things did', () => {
    expect(exitCodeOf([done])).toBe(0);
    expect(exitCodeOf([done, failed('b', 4), failed('c', 4)])).toBe(4);
    expect(exitCodeOf([failed('b', 4), failed('c', 5)])).toBe(1);
  });

  it('is a table, one document, and Markdown', () => {
    expect(rowsOf([done, failed('b', 4)])).toEqual([
      ['alpha', '1.0.0', 'published', `r.example.test/mcp/alpha:1.0.0-0123456789ab@${sha256('x').slice(0, 19)}`],
      ['b', '', 'failed', 'lock-outdated: b'],
    ]);
    expect(jsonOf([failed('b', 4)])).toEqual([
      {
        ...{ name: 'b', version: null, image: null, status: 'failed', seconds: 0.003 },
        error: { code: 'lock-outdated', message: 'b\nis old', fix: 'Lock it.', exit: 4 },
      },
    ]);
    const text = markdownOf([done, failed('b', 4)]);
    expect(text).toContain(
      '| `alpha` | `1.0.0` | ✅ published | `r.example.test/mcp/alpha:1.0.0-0123456789ab` | skipped: `` no `Docker` `` |',
    );
    expect(text).toContain('`Use <b>another</b> | @everyone`');
    expect(text).toContain('- `b`: `lock-outdated` `b is old`<br>`Lock it.`');
  });
});
