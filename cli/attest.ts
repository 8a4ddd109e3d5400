import { join } from 'node:path';
import { Command } from 'commander';
import { parseServerName } from '../builders/index.ts';
import { readBounded } from '../files/index.ts';
import { openLayout } from '../registry/index.ts';
import {
  type Offer,
  type Permissions,
  parseNetwork,
  parsePermissions,
  parseVolume,
  type Volume,
} from '../runner/index.ts';
import { advisoriesApi } from './line/advisories.ts';
import { attestImage } from './line/attest.ts';
import { auditLock, requireVetted } from './line/audit.ts';
import { attestAudit } from './line/audit-attest.ts';
import { vettingRules } from './line/audit-policy.ts';
import { toolsAt } from './line/audit-target.ts';
import { lockFolderOf, readLockFolder } from './line/folder.ts';
import { homeOf } from './line/home.ts';
import { type SignerFlags, signerOf, signerOptions } from './line/signer.ts';
import { examples, jsonOption, repeated, usage } from './options.ts';
import { table, terminal } from './terminal.ts';

interface Options extends SignerFlags {
  readonly spdx?: boolean;
  readonly audit?: boolean;
  readonly again?: boolean;
  readonly allowNet?: Permissions['network'];
  readonly volume?: readonly Volume[];
  readonly env?: readonly string[];
  readonly json?: boolean;
}

export function attestCommand(): Command {
  const command = new Command('attest')
    .summary('say, signed, what an image is made of and what it may do')
    .description(
      'Attaches signed statements to the image that was built from ./lockfiles/<name>/ and to each of its platforms: SLSA provenance with every file it was built from, a CycloneDX bill of materials, and which server it is, what it may do and what it was seen to offer.',
    )
    .argument('<name>', 'a folder of ./lockfiles/', (value) => usage(() => parseServerName(value)))
    .option('--spdx', 'attach an SPDX bill of materials, too')
    .option(
      '--audit',
      'audit it first, and say that it was vetted and which flaws are known; nothing is said of what is refused',
    )
    .option('--again', 'say also what the same key has said of it before, as where a policy wants it younger')
    .addOption(repeated('--volume <path>', 'a path the server may be given; PATH:rw to write, too', parseVolume))
    .addOption(repeated('--env <name>', 'a variable the server may be given', (word) => word))
    .option('--allow-net <where>', 'all, or destinations: host:port,…', (value) => usage(() => parseNetwork(value)))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build attest server-memory', 'a server that only computes'],
        ['mcp-build attest mcp-server-fetch --allow-net all --keyless', 'in CI, as the job’s own identity'],
      ),
    );
  for (const option of signerOptions()) command.addOption(option);
  return command.action(async (name: string, options: Options) => {
    const out = terminal(options);
    const environment = { ...process.env };
    const home = homeOf(environment);
    const path = lockFolderOf(process.cwd(), name);
    const folder = await readLockFolder(path);
    const tools = await readBounded(join(path, 'tools.json'), 64 * 1024 * 1024).catch(() => undefined);
    const store = await openLayout(home.store);
    const signer = await signerOf(options, home, environment);
    const started = new Date();
    const applied = await vettingRules(environment, process.cwd());
    const audited = options.audit
      ? await auditLock(folder, {
          home,
          environment,
          workspace: process.cwd(),
          rules: applied.rules,
          tools: await toolsAt(join(path, 'tools.json')),
          api: advisoriesApi(environment),
          now: started,
          progress: out.progress,
        })
      : undefined;
    if (audited) requireVetted(audited);
    const said = await attestImage(folder, {
      home,
      variables: environment,
      workspace: process.cwd(),
      store,
      signer,
      permissions: parsePermissions({
        network: options.allowNet ?? 'none',
        volumes: options.volume ?? [],
        environment: options.env ?? [],
      }),
      offer: tools ? (JSON.parse(tools.toString('utf8')) as Offer) : undefined,
      spdx: options.spdx === true,
      again: options.again === true,
      now: new Date(),
    });
    const vetted = audited ? await attestAudit(audited, { store, signer, applied, started, now: new Date() }) : [];
    const { subject } = said;
    const attached = [...said.attached, ...vetted];
    if (audited && !audited.advisories) out.note('no advisories were compared with, so nothing is said of known flaws');
    if (!tools) out.note(`${name} was never tested, so nothing is said about its tools: mcp-build test ${name}`);
    await out.result(
      { subject, attached },
      [
        table(
          attached.map(({ predicate, subject: of, added }) => [
            predicate,
            of.slice(0, 19),
            added ? 'attached' : 'was said before',
          ]),
        ),
        attached.some(({ added }) => added)
          ? `attested ${name} ${subject}`
          : `nothing new to say of ${name} ${subject}: --again says it again`,
      ].join('\n'),
    );
  });
}
