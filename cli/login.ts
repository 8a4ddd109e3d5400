import { Command } from 'commander';
import { McpBuildError } from '../errors/index.ts';
import { login, logout, openRemote, type Secret } from '../registry/index.ts';
import { examples, jsonOption } from './options.ts';
import { certificatesOption, plainHttpOption, type RegistryFlags, registryOptions } from './registry.ts';
import { terminal } from './terminal.ts';

/** In bytes. No password is that long. */
const LIMIT = 64 * 1024;

interface Options extends RegistryFlags {
  readonly username?: string;
  readonly passwordStdin?: boolean;
  readonly identityToken?: boolean;
}

export function loginCommand(): Command {
  return new Command('login')
    .summary('keep credentials for a registry')
    .description(
      'Checks credentials with a registry and keeps them where Docker, skopeo and others find them too: in the credential helper that is configured, else in Docker’s config.json.',
    )
    .argument('<registry>', 'registry.example[:port]')
    .option('-u, --username <name>', 'user name')
    .option('--identity-token', 'what comes on stdin is an OAuth2 refresh token')
    .requiredOption('--password-stdin', 'read the password from stdin')
    .addOption(plainHttpOption())
    .addOption(certificatesOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(['mcp-build login registry.example --username ci --password-stdin < secret', 'a password from a file']),
    )
    .action(async (registry: string, options: Options) => {
      const out = terminal(options);
      const environment = { ...process.env };
      const typed = await fromStdin();
      const secret = secretOf(options, typed);
      const credential =
        'identityToken' in secret
          ? ({ kind: 'identity', token: secret.identityToken } as const)
          : ({ kind: 'basic', username: secret.username, password: secret.password } as const);
      const { plainHttp, certificates } = registryOptions(options);
      const remote = openRemote(
        { registry: registry.toLowerCase(), repository: 'mcp-build' },
        {
          environment,
          credential,
          ...(plainHttp ? { plainHttp } : {}),
          ...(certificates === undefined ? {} : { certificates: { folders: [certificates] } }),
        },
      );
      await remote.ping();
      const kept = await login(registry, secret, environment);
      await out.result({ registry, kept }, `credentials for ${registry} are kept in ${kept}`);
    });
}

export function logoutCommand(): Command {
  return new Command('logout')
    .summary('forget the credentials for a registry')
    .description('Forgets what `login`, or Docker, kept for a registry.')
    .argument('<registry>', 'registry.example[:port]')
    .addOption(jsonOption())
    .addHelpText('after', examples(['mcp-build logout registry.example', 'forget them']))
    .action(async (registry: string, options: { readonly json?: boolean }) => {
      const found = await logout(registry, { ...process.env });
      await terminal(options).result(
        { registry, found },
        found ? `forgot the credentials for ${registry}` : `there were none for ${registry}`,
      );
    });
}

function secretOf({ username, identityToken }: Options, typed: string): Secret {
  if (identityToken) return { identityToken: typed };
  if (username !== undefined && username !== '') return { username, password: typed };
  throw new McpBuildError({
    code: 'username-missing',
    message: 'There is no user name',
    fix: 'Give one with --username.',
    exit: 2,
  });
}

async function fromStdin(): Promise<string> {
  let text = '';
  for await (const chunk of process.stdin) {
    text += String(chunk);
    if (text.length > LIMIT)
      throw new McpBuildError({
        code: 'too-large',
        message: 'What comes on stdin is no password',
        fix: 'Pipe only the password.',
        exit: 2,
      });
  }
  // One newline at the end is the editor's or echo's, not the password's.
  const typed = text.replace(/\r?\n$/, '');
  if (typed === '')
    throw new McpBuildError({
      code: 'password-missing',
      message: 'Nothing came on stdin',
      fix: 'Pipe the password into the command.',
      exit: 2,
    });
  return typed;
}
