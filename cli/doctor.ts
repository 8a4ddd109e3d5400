import { Command } from 'commander';
import { diagnose } from '../runner/index.ts';
import { diagnoseLine } from './line/doctor.ts';
import { homeOf } from './line/home.ts';
import { policyOf } from './line/policy.ts';
import { machineOf, reaperOf, runtimeOf } from './line/start.ts';
import { examples, jsonOption } from './options.ts';
import { terminal } from './terminal.ts';

export function doctorCommand(): Command {
  return new Command('doctor')
    .summary('check what this machine needs to run servers')
    .description(
      'Checks Docker, kernel features, keys, the policy, permissions of files, registries and the clock, and says for each that fails what to do. Registries are those of npm’s and uv’s or pip’s configuration, those of images that there are credentials for, and the manifest’s.',
    )
    .option('--offline', 'ask no registry')
    .addOption(jsonOption())
    .addHelpText('after', examples(['mcp-build doctor', 'when something does not start']))
    .action(async (options: { readonly json?: boolean; readonly offline?: boolean }) => {
      const out = terminal(options);
      const environment = { ...process.env };
      const home = homeOf(environment);
      const [runner, line] = await Promise.all([
        diagnose(await runtimeOf(environment), machineOf(home, environment), reaperOf(home, out.note)),
        diagnoseLine({ home, environment, workspace: process.cwd(), offline: options.offline === true }),
      ]);
      const checks = [...runner, ...line];
      try {
        const { file, policy } = await policyOf(home, environment, process.cwd());
        checks.push({
          id: 'policy',
          status: 'ok',
          detail: file ? `${file}: ${policy.rules.length} rules` : 'No policy: what your own keys signed may start',
        });
      } catch (error) {
        const { message, fix, code } = error as { message: string; fix?: string; code?: string };
        // Nothing was built yet: the first `run` makes a key.
        const status = code === 'key-missing' ? 'warn' : 'fail';
        checks.push({ id: 'policy', status, detail: message, ...(fix ? { fix } : {}) });
      }
      const mark = { ok: '✓', warn: '!', fail: '✗' } as const;
      const lines = checks.map(
        ({ id, status, detail, fix }) =>
          `${mark[status]} ${id}: ${detail}${fix && status !== 'ok' ? `\n    fix: ${fix}` : ''}`,
      );
      await out.result({ checks }, lines.join('\n'));
      if (checks.some(({ status }) => status === 'fail')) process.exitCode = 1;
    });
}
