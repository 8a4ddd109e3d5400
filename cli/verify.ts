import { Command } from 'commander';
import { homeOf } from './line/home.ts';
import { findImage } from './line/image.ts';
import { publicKeyFile } from './line/keys.ts';
import { applied, ownKeysPolicy, policyOf } from './line/policy.ts';
import { verifyImage } from './line/verify.ts';
import { examples, jsonOption, repeated } from './options.ts';
import { certificatesOption, plainHttpOption, type RegistryFlags, registryOptions } from './registry.ts';
import { terminal } from './terminal.ts';

interface VerifyFlags extends RegistryFlags {
  readonly key?: readonly string[];
  readonly policy?: string;
  readonly layers?: boolean;
}

export function verifyCommand(): Command {
  return new Command('verify')
    .summary('check an image’s signature, and its bytes')
    .description(
      'Checks that an image is signed by a key you trust, that the signature speaks of exactly this image, and that every manifest and config has the digest it is named by; so has every layer, where the image is on this machine. Layers in a registry are left there, as their digests are what is signed, and what fetches them hashes them: --layers reads them now. Reports every check. Exits with 3 when one fails.',
    )
    .argument('<image>', 'a name in the local store, registry.example/team/server:tag, or oci:FOLDER[:tag]')
    .addOption(repeated('--key <file>', 'public key to trust, and nothing else asked', (word) => word))
    .option('--policy <file>', 'policy to judge by; by default the system’s or yours, else your own keys')
    .option('--layers', 'hash the layers too; by default where the image is on this machine')
    .option('--no-layers', 'do not read layers')
    .addOption(plainHttpOption())
    .addOption(certificatesOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build verify server-memory', 'against your own keys'],
        ['mcp-build verify oci:images:memory --key team.pub', 'against a team’s key'],
        ['mcp-build verify registry.example/team/memory:1.2.0 --layers', 'every byte that a registry holds'],
      ),
    )
    .action(async (name: string, options: VerifyFlags) => {
      const out = terminal(options);
      const environment = { ...process.env };
      const home = homeOf(environment);
      const workspace = process.cwd();
      const { policy, file } = options.key
        ? ownKeysPolicy(await Promise.all(options.key.map(publicKeyFile)))
        : options.policy
          ? await applied(home, options.policy)
          : await policyOf(home, environment, workspace);
      const { store, image, place } = await findImage(name, home, { environment, ...registryOptions(options) });
      const { verdict } = await verifyImage(store, image, {
        policy,
        now: new Date(),
        layers: options.layers ?? place.kind !== 'remote',
        platforms: 'all',
        asked: { image: name.replace(/@sha256:[0-9a-f]{64}$/, '').replace(/:[^:/]+$/, '') },
      });
      if (file) out.note(`by the policy ${file}`);
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
