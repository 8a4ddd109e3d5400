import { McpBuildError } from '../../errors/index.ts';
import type { Environment } from './home.ts';

/** From `MCP_BUILD_PASSPHRASE`, else asked for on the terminal, unseen. @throws McpBuildError `passphrase-missing`, `cancelled` */
export async function passphrase(prompt: string, environment: Environment): Promise<string> {
  const given = environment.MCP_BUILD_PASSPHRASE;
  if (given !== undefined && given !== '') return given;
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new McpBuildError({
      code: 'passphrase-missing',
      message: 'The key is encrypted and there is nobody to ask for its passphrase',
      fix: 'Set MCP_BUILD_PASSPHRASE.',
      exit: 2,
    });
  }
  return ask(prompt);
}

/** Asked twice, since what was mistyped once would lock its owner out. @throws McpBuildError `passphrase-differs`, `passphrase-empty` */
export async function newPassphrase(environment: Environment): Promise<string> {
  const first = await passphrase('Passphrase for the new key: ', environment);
  if (first === '')
    throw new McpBuildError({
      code: 'passphrase-empty',
      message: 'An empty passphrase protects nothing',
      fix: 'Choose one.',
      exit: 2,
    });
  if (environment.MCP_BUILD_PASSPHRASE) return first;
  if ((await ask('The same again: ')) !== first) {
    throw new McpBuildError({
      code: 'passphrase-differs',
      message: 'The two passphrases differ',
      fix: 'Try again.',
      exit: 2,
    });
  }
  return first;
}

function ask(prompt: string): Promise<string> {
  const { stdin, stderr } = process;
  return new Promise((resolve, reject) => {
    let typed = '';
    const finish = (settle: () => void) => {
      stdin.off('data', take);
      stdin.setRawMode(false);
      stdin.pause();
      stderr.write('\n');
      settle();
    };
    const take = (chunk: Buffer) => {
      for (const character of chunk.toString('utf8')) {
        if (character === '\r' || character === '\n') return finish(() => resolve(typed));
        if (character === '\u0003' || character === '\u0004') {
          return finish(() =>
            reject(
              new McpBuildError({ code: 'cancelled', message: 'No passphrase was given', fix: 'Try again.', exit: 2 }),
            ),
          );
        }
        typed = character === '\u007f' || character === '\b' ? typed.slice(0, -1) : typed + character;
      }
    };
    stderr.write(prompt);
    stdin.setRawMode(true);
    stdin.resume();
    stdin.on('data', take);
  });
}
