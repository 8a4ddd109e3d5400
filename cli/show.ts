import { Command } from 'commander';
import { gather, predicateName, type Said } from '../trust/index.ts';
import { homeOf } from './line/home.ts';
import { findImage } from './line/image.ts';
import { ownKeys } from './line/keys.ts';
import { examples, jsonOption } from './options.ts';
import { certificatesOption, plainHttpOption, type RegistryFlags, registryOptions } from './registry.ts';
import { terminal } from './terminal.ts';

export function showCommand(): Command {
  return new Command('show')
    .summary('show what is said about an image, and by whom')
    .description(
      'Prints everything that is attached to an image and to each of its platforms. Nothing of it is believed by being shown: `verify` judges it.',
    )
    .argument('<image>', 'a name in the local store, registry.example/team/server:tag, or oci:FOLDER[:tag]')
    .option('--full', 'with the whole predicates')
    .addOption(plainHttpOption())
    .addOption(certificatesOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build show server-memory', 'a tree'],
        ['mcp-build show server-memory --full --json', 'everything, for scripts'],
      ),
    )
    .action(async (name: string, options: RegistryFlags & { readonly full?: boolean }) => {
      const out = terminal(options);
      const environment = { ...process.env };
      const home = homeOf(environment);
      const { store, image } = await findImage(name, home, { environment, ...registryOptions(options) });
      const evidence = await gather(store, image);
      const names = new Map((await ownKeys(home)).map(({ key, name: file }) => [key.id, file]));
      const subjects = [evidence.subject, ...evidence.platforms].map(({ digest, platform }) => ({
        digest,
        platform: platform ? `${platform.os}/${platform.architecture}` : 'index',
        said: evidence.attestations
          .filter(({ on }) => on === digest)
          .map(({ referrer, said }) => ({ referrer, ...describeSaid(said, names, options.full === true) })),
      }));
      const lines = [`${name}  ${image.digest}`];
      for (const { digest, platform, said } of subjects) {
        lines.push(`├ ${platform}  ${digest}`);
        if (said.length === 0) lines.push('│  nothing is said about it');
        for (const { predicate, by, predicateBody } of said) {
          lines.push(`│  ${predicate.padEnd(11)} ${by}`);
          if (predicateBody !== undefined)
            lines.push(
              ...JSON.stringify(predicateBody, null, 2)
                .split('\n')
                .map((line) => `│    ${line}`),
            );
        }
      }
      await out.result({ image: image.digest, subjects }, lines.join('\n'));
    });
}

function describeSaid(said: Said, names: ReadonlyMap<string, string>, full: boolean) {
  if (said.kind === 'unreadable') return { predicate: 'unreadable', by: said.reason };
  const { material } = said.bundle;
  const by =
    material.kind === 'key'
      ? `key ${material.hint || '(unnamed)'}${names.has(material.hint) ? ` = ${names.get(material.hint)}` : ''}`
      : 'a certificate';
  return {
    predicate: predicateName(said.statement.predicateType),
    by,
    ...(full ? { predicateBody: said.statement.predicate } : {}),
  };
}
