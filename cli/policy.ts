import { readFile } from 'node:fs/promises';
import { Command } from 'commander';
import { parse as parseYaml } from 'yaml';
import { McpBuildError } from '../errors/index.ts';
import { explain, policyJsonSchema, testPolicy } from '../trust/index.ts';
import { homeOf } from './line/home.ts';
import { findImage } from './line/image.ts';
import { applied, policyOf } from './line/policy.ts';
import { evidenceOf } from './line/verify.ts';
import { examples, jsonOption } from './options.ts';
import { certificatesOption, plainHttpOption, type RegistryFlags, registryOptions } from './registry.ts';
import { terminal } from './terminal.ts';

export function policyCommand(): Command {
  return new Command('policy')
    .summary('check, explain and test the policy that decides what may start')
    .description(
      'The policy is read from /etc/mcp-build/policy.yaml, else from mcp-build/policy.yaml in your configuration folder.',
    )
    .addCommand(check())
    .addCommand(explanation())
    .addCommand(tests())
    .addCommand(schema());
}

function check(): Command {
  return new Command('check')
    .summary('read a policy and report what is wrong with it')
    .argument('[file]', 'the policy in force by default')
    .addOption(jsonOption())
    .addHelpText('after', examples(['mcp-build policy check policy.yaml', 'before it is committed']))
    .action(async (file: string | undefined, options: { readonly json?: boolean }) => {
      const { policy, file: found, digest } = await read(file);
      await terminal(options).result(
        { file: found, digest, rules: policy.rules.map(({ name }) => name), exceptions: policy.exceptions.length },
        `${found ?? 'no policy: your own keys count'}: ${policy.rules.length} rules, ${policy.exceptions.length} exceptions`,
      );
    });
}

function explanation(): Command {
  return new Command('explain')
    .summary('say which rule decides on an image, and every check')
    .argument('<image>', 'a name in the local store, registry.example/team/server:tag, or oci:FOLDER[:tag]')
    .option('--policy <file>', 'the policy in force by default')
    .addOption(plainHttpOption())
    .addOption(certificatesOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(['mcp-build policy explain registry.example/mcp/server-memory:2026.8.31', 'why it may start, or not']),
    )
    .action(async (name: string, options: RegistryFlags & { readonly policy?: string }) => {
      const environment = { ...process.env };
      const home = homeOf(environment);
      const { policy } = await read(options.policy);
      const { store, image } = await findImage(name, home, { environment, ...registryOptions(options) });
      const asked = { image: name.replace(/@sha256:[0-9a-f]{64}$/, '').replace(/:[^:/]+$/, '') };
      const evidence = await evidenceOf(store, image, { layers: false, platforms: 'all', asked });
      const text = explain(policy, evidence, new Date());
      await terminal(options).result({ image: image.digest, explanation: text.split('\n') }, text);
      if (!text.startsWith('accepted')) process.exitCode = 3;
    });
}

function tests(): Command {
  return new Command('test')
    .summary('try a policy on made-up images')
    .argument('<cases>', 'a YAML list of cases: name, attestations, expect')
    .option('--policy <file>', 'the policy in force by default')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(['mcp-build policy test cases.yaml --policy policy.yaml', 'in the CI of the policy']),
    )
    .action(async (file: string, options: { readonly policy?: string; readonly json?: boolean }) => {
      const { policy } = await read(options.policy);
      const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
        throw new McpBuildError({
          code: 'file-unreadable',
          message: `${file} can't be read: ${cause.code}`,
          input: file,
          fix: 'Check the path.',
          exit: 2,
        });
      });
      const results = testPolicy(policy, parseYaml(text, { maxAliasCount: 0 }), new Date());
      const failed = results.filter(({ passed }) => !passed).length;
      const lines = results.map(
        ({ name, passed, verdict, rule }) =>
          `${passed ? '✓' : '✗'} ${name}: ${verdict.verdict} by ${rule ?? 'no rule'}`,
      );
      await terminal(options).result(
        { failed, results },
        [...lines, `${results.length - failed} of ${results.length} as expected`].join('\n'),
      );
      if (failed > 0) process.exitCode = 1;
    });
}

function schema(): Command {
  return new Command('schema')
    .summary('print the JSON Schema of policies, for editors')
    .addHelpText('after', examples(['mcp-build policy schema > policy.schema.json', 'beside your policy']))
    .action(async () => {
      await terminal({ json: true }).result(policyJsonSchema(), '');
    });
}

async function read(file: string | undefined) {
  const environment = { ...process.env };
  const home = homeOf(environment);
  return file === undefined ? policyOf(home, environment, process.cwd()) : applied(home, file);
}
