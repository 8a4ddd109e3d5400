import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { loadPolicy } from '../../trust/index.ts';
import { commandPath, describeWith } from './harness/needs.ts';
import { projectFiles, root } from './harness/tree.ts';

const run = promisify(execFile);
const files = projectFiles().filter((file) => /^\.github\/.*\.ya?ml$/.test(file));
const workflows = files.filter((file) => file.startsWith('.github/workflows/'));

describeWith(['actionlint'], 'actionlint', () => {
  test('has nothing to say', async () => {
    const { stdout } = await run(commandPath('actionlint')!, ['-no-color', ...workflows], { cwd: root });
    expect(stdout).toBe('');
  });
});

describeWith(['actionlint'], 'actionlint', () => {
  const page = readFileSync(join(root, 'docs/ci.md'), 'utf8');
  const documented = [...page.matchAll(/^```yaml\n(# \.github\/workflows\/[\s\S]*?)^```/gm)].map(
    (match) => match[1] ?? '',
  );

  test('has nothing to say of what docs/ci.md proposes', async () => {
    expect(documented.length).toBeGreaterThan(1);
    for (const workflow of documented) {
      const child = run(commandPath('actionlint')!, ['-no-color', '-'], { cwd: root });
      child.child.stdin?.end(workflow.replaceAll('COMMIT', '0'.repeat(40)));
      expect((await child.catch((error: { stdout: string }) => error)).stdout).toBe('');
    }
  });
});

describeWith(['zizmor'], 'zizmor', () => {
  test('finds nothing', async () => {
    const { stdout } = await run(
      commandPath('zizmor')!,
      ['--offline', '--quiet', '--no-progress', '--format=json', '.github'],
      { cwd: root },
    );
    expect(JSON.parse(stdout)).toEqual([]);
  });

  test('would find an action that is not pinned', async () => {
    const { stdout } = await run(
      'sh',
      [
        '-c',
        `mkdir -p "$1/.github/workflows" && cp .github/workflows/ci.yml "$1/.github/workflows/" && sed -i 's/@[0-9a-f]\\{40\\}.*/@main/' "$1/.github/workflows/ci.yml" && { "$0" --offline -q --format=json "$1" || true; }; rm -rf "$1"`,
        commandPath('zizmor')!,
        `/tmp/mcp-build-zizmor-${process.pid}`,
      ],
      { cwd: root },
    );
    expect((JSON.parse(stdout) as { ident: string }[]).map(({ ident }) => ident)).toContain('unpinned-uses');
  });
});

describe('.ci/release-policy', () => {
  test('is a policy that names the workflow, the tag and the repository that it was released by', async () => {
    const { stdout } = await run(join(root, '.ci/release-policy'), {
      env: {
        PATH: process.env.PATH,
        GITHUB_SERVER_URL: 'https://github.com',
        GITHUB_REPOSITORY: 'acme/mcp-build',
        GITHUB_WORKFLOW_REF: 'acme/mcp-build/.github/workflows/release.yml@refs/tags/v1.2.3',
        GITHUB_REF: 'refs/tags/v1.2.3',
      },
    });
    const folder = await mkdtemp(join(tmpdir(), 'mcp-build-release-policy-'));
    try {
      const file = join(folder, 'policy.yaml');
      await writeFile(file, stdout);
      const [rule, ...others] = (await loadPolicy(file)).rules;
      expect(others).toEqual([]);
      expect(rule?.signature.by).toMatchObject([
        {
          kind: 'identity',
          identity: 'https://github.com/acme/mcp-build/.github/workflows/release.yml@refs/tags/v1.2.3',
        },
      ]);
    } finally {
      await rm(folder, { recursive: true });
    }
    await expect(run(join(root, '.ci/release-policy'), { env: { PATH: process.env.PATH } })).rejects.toThrow();
  });
});

interface Step {
  readonly uses?: string;
  readonly run?: string;
}

describe.each(files.filter((file) => !/(?:dependabot|actionlint)\.ya?ml$/.test(file)))('%s', (file) => {
  const document = parse(readFileSync(join(root, file), 'utf8')) as {
    permissions?: object;
    jobs?: Record<string, { permissions?: object; uses?: string; steps?: readonly Step[] }>;
    runs?: { steps?: readonly Step[] };
  };
  const jobs = Object.values(document.jobs ?? {});
  const steps = [...jobs.flatMap((job) => job.steps ?? []), ...(document.runs?.steps ?? [])];

  test('names every action by a commit', () => {
    for (const uses of [...steps, ...jobs].flatMap((one) => one.uses ?? []))
      expect(uses).toMatch(/^(?:\$\/|[\w-]+\/[\w./-]+@[0-9a-f]{40}$)/);
  });

  test('puts nothing that somebody else wrote into a script', () => {
    for (const { run: script } of steps) expect(script ?? '').not.toContain('${{');
  });

  if (document.jobs)
    test('gives each job what it needs and no more', () => {
      expect(document.permissions).toEqual({});
      for (const job of jobs) expect(job.permissions).toBeDefined();
    });
});
