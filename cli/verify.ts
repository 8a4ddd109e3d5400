import { Command } from 'commander';
import { McpBuildError } from '../errors/index.ts';
import { homeOf } from './line/home.ts';
import { findImage } from './line/image.ts';
import { ownKeys, publicKeyFile } from './line/keys.ts';
import { verifyImage } from './line/verify.ts';
import { examples, jsonOption } from './options.ts';
import { certificatesOption, plainHttpOption, type RegistryFlags, registryOptions } from './push.ts';
import { terminal } from './terminal.ts';

export function verifyCommand(): Command {
  return new Command('verify')
    .summary('check an image’s signature and every byte of it')
    .description(
      'Checks that an image is signed by a key you trust, that the signature speaks of exactly this image, and that every manifest, config and layer has the digest it is named by. Reports every check. Exits with 3 when one fails.',
    )
    .argument('<image>', 'a name in the local store, registry.example/team/server:tag, or oci:FOLDER[:tag]')
    .option('--key <file...>', 'public keys to trust; by default your own, from `init` and from `run`')
    .addOption(plainHttpOption())
    .addOption(certificatesOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build verify server-memory', 'against your own keys'],
        ['mcp-build verify oci:images:memory --key team.pub', 'against a team’s key'],
      ),
    )
    .action(async (name: string, options: RegistryFlags & { readonly key?: readonly string[] }) => {
      const out = terminal(options);
      const environment = { ...process.env };
      const home = homeOf(environment);
      const keys = options.key ? await Promise.all(options.key.map(publicKeyFile)) : await ownKeys(home);
      if (keys.length === 0) {
        throw new McpBuildError({
          code: 'key-missing',
          message: 'There is no key to verify with',
          fix: 'Name a public key with --key, or make your own with `mcp-build init`.',
          exit: 2,
        });
      }
      const { store, image } = await findImage(name, home, { environment, ...registryOptions(options) });
      const verdict = await verifyImage(store, image, { keys, now: new Date(), layers: true, platforms: 'all' });
      // A check is named after what it refuses, which would read as its opposite beside a tick.
      const lines = verdict.checks.map(({ id, status, detail }) =>
        status === 'pass' ? `✓ ${detail}` : `✗ ${id}: ${detail}`,
      );
      await out.result(
        verdict,
        [...lines, `${verdict.verdict === 'pass' ? 'verified' : 'REFUSED'}  ${name}  ${verdict.subject}`].join('\n'),
      );
      if (verdict.verdict === 'fail') process.exitCode = 3;
    });
}
