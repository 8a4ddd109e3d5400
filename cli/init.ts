import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import { generateKey, writeKey } from '../trust/index.ts';
import { homeOf } from './line/home.ts';
import { sharedKeyPaths } from './line/keys.ts';
import { newPassphrase } from './line/passphrase.ts';
import { examples, jsonOption } from './options.ts';
import { terminal } from './terminal.ts';

interface Options {
  readonly output?: string;
  readonly type: 'ecdsa-p256' | 'ed25519';
  readonly json?: boolean;
}

export function initCommand(): Command {
  return new Command('init')
    .summary('make a key to sign with')
    .description(
      'Makes a key pair to sign images with and to share in a team: the private half encrypted and readable by you alone, the public half for everyone who verifies. cosign verifies what it signs. An existing key is never replaced.',
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
      await out.result(
        { key: paths.private, publicKey: paths.public, type: options.type, id: key.id },
        `private key  ${paths.private}  (encrypted; keep it secret)\npublic key   ${paths.public}  (give it to everyone who verifies)`,
      );
    });
}
