import { Command } from 'commander';
import { signImage } from '../trust/index.ts';
import { homeOf } from './line/home.ts';
import { findImage } from './line/image.ts';
import { type SignerFlags, signerOf, signerOptions } from './line/signer.ts';
import { examples, jsonOption } from './options.ts';
import { certificatesOption, plainHttpOption, type RegistryFlags, registryOptions } from './registry.ts';
import { terminal } from './terminal.ts';

export function signCommand(): Command {
  const command = new Command('sign')
    .summary('sign an image')
    .description(
      'Signs an image, and each of its platforms, as cosign does: a Sigstore bundle attached to the digest. What it signs, cosign verifies. Signing again with the same key changes nothing.',
    )
    .argument('<image>', 'a name in the local store, registry.example/team/server:tag, or oci:FOLDER[:tag]')
    .addOption(plainHttpOption())
    .addOption(certificatesOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build sign server-memory', 'asks for the passphrase'],
        ['mcp-build sign server-memory --keyless', 'in CI, as the job’s own identity'],
        ['MCP_BUILD_PASSPHRASE=… mcp-build sign server-memory --key team.key', 'where nobody can be asked'],
      ),
    );
  for (const option of signerOptions()) command.addOption(option);
  return command.action(async (name: string, options: RegistryFlags & SignerFlags) => {
    const out = terminal(options);
    const environment = { ...process.env };
    const home = homeOf(environment);
    const { store, image } = await findImage(name, home, { environment, ...registryOptions(options) });
    const signer = await signerOf(options, home, environment);
    const signatures = await signImage(store, image, signer);
    await out.result(
      { subject: image.digest, signer: signer.name, key: signer.key?.id, signatures },
      `signed ${name} ${image.digest} (${signatures.length} manifests) with ${signer.key ? `key ${signer.key.id}` : signer.name}`,
    );
  });
}
