import { stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { writeAtomic } from '../files/index.ts';
import { defaultPolicy, generateKey, policyJsonSchema, writeKey } from '../trust/index.ts';
import { homeOf } from './line/home.ts';
import { sharedKeyPaths } from './line/keys.ts';
import { newPassphrase } from './line/passphrase.ts';
import { policyFiles } from './line/policy.ts';
import { examples, jsonOption } from './options.ts';
import { terminal } from './terminal.ts';

interface Options {
  readonly output?: string;
  readonly type: 'ecdsa-p256' | 'ed25519';
  readonly json?: boolean;
}

export function initCommand(): Command {
  return new Command('init')
    .summary('make a key to sign with, and a policy to start from')
    .description(
      'Makes a key pair to sign images with and to share in a team: the private half encrypted and readable by you alone, the public half for everyone who verifies. cosign verifies what it signs. Beside them a policy that asks for that key. Nothing that exists is replaced.',
    )
    .option('--output <folder>', 'folder for mcp-build.key and mcp-build.pub; your state folder by default')
    .addOption(new Option('--type <type>', 'kind of key').choices(['ecdsa-p256', 'ed25519']).default('ecdsa-p256'))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build init', 'asks for a passphrase'],
        ['MCP_BUILD_PASSPHRASE=… mcp-build init --output ./keys', 'where nobody can be asked'],
      ),
    )
    .action(async (options: Options) => {
      const out = terminal(options);
      const environment = { ...process.env };
      const paths = sharedKeyPaths(options.output ? resolve(options.output) : homeOf(environment).keys);
      const key = generateKey(options.type);
      await writeKey(key, paths.private, paths.public, await newPassphrase(environment));
      const policy = join(dirname(paths.public), 'policy.yaml');
      // A policy that somebody has edited is never replaced; keys never are either.
      if (!(await stat(policy).catch(() => undefined))) {
        await writeAtomic(policy, defaultPolicy(basename(paths.public)));
        await writeAtomic(
          join(dirname(policy), 'policy.schema.json'),
          `${JSON.stringify(policyJsonSchema(), null, 2)}\n`,
        );
      }
      await out.result(
        { key: paths.private, publicKey: paths.public, type: options.type, id: key.id, policy },
        [
          `private key  ${paths.private}  (encrypted; keep it secret)`,
          `public key   ${paths.public}  (give it to everyone who verifies)`,
          `policy       ${policy}  (in force once it is in ${policyFiles(environment).at(-1)}, with the public key beside it)`,
        ].join('\n'),
      );
    });
}
