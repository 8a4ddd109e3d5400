import { Command } from 'commander';
import { keySigner, signImage } from '../trust/index.ts';
import { homeOf } from './line/home.ts';
import { findImage } from './line/image.ts';
import { signingKey } from './line/keys.ts';
import { examples, jsonOption } from './options.ts';
import { certificatesOption, plainHttpOption, type RegistryFlags, registryOptions } from './push.ts';
import { terminal } from './terminal.ts';

export function signCommand(): Command {
  return new Command('sign')
    .summary('sign an image with a key')
    .description(
      'Signs an image, and each of its platforms, as cosign does: a Sigstore bundle attached to the digest. What it signs, cosign verifies. Signing again with the same key changes nothing.',
    )
    .argument('<image>', 'a name in the local store, registry.example/team/server:tag, or oci:FOLDER[:tag]')
    .option('--key <file>', 'private key (PKCS#8 or cosign’s); the one that `init` made by default')
    .addOption(plainHttpOption())
    .addOption(certificatesOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build sign server-memory', 'asks for the passphrase'],
        ['MCP_BUILD_PASSPHRASE=… mcp-build sign server-memory --key team.key', 'where nobody can be asked'],
      ),
    )
    .action(async (name: string, options: RegistryFlags & { readonly key?: string }) => {
      const out = terminal(options);
      const environment = { ...process.env };
      const home = homeOf(environment);
      const { store, image } = await findImage(name, home, { environment, ...registryOptions(options) });
      const key = await signingKey(options.key, home, environment);
      const signatures = await signImage(store, image, keySigner(key));
      await out.result(
        { subject: image.digest, key: key.id, signatures },
        `signed ${name} ${image.digest} (${signatures.length} manifests) with key ${key.id}`,
      );
    });
}
