import { spawn } from 'node:child_process';
import { z } from 'zod';
import { McpBuildError } from '../../errors/index.ts';
import { type Credential, passwordOrToken } from './credentials.ts';
import { oneLine } from './fault.ts';
import type { Environment } from './proxy.ts';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
/** In milliseconds: some ask a person to unlock a keychain. */
const TIMEOUT = 60_000;
/** In bytes. */
const OUTPUT = 256 * 1024;

const answerSchema = z.object({ Username: z.string(), Secret: z.string() });

/** What `docker-credential-<helper> get` knows of a registry; undefined for nothing. @throws McpBuildError `credential-helper` */
export async function helperGet(
  helper: string,
  registry: string,
  environment: Environment,
): Promise<Credential | undefined> {
  const { status, output } = await run(helper, 'get', registry, environment);
  if (status !== 0) {
    // The protocol of these helpers: this sentence, on stdout, is "none".
    if (/credentials not found/i.test(output)) return undefined;
    throw failed(helper, `ended with ${status}: ${oneLine(output)}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(output);
  } catch {
    throw failed(helper, 'gave no JSON');
  }
  const answer = answerSchema.safeParse(value);
  if (!answer.success) throw failed(helper, 'gave no Username and Secret');
  if (answer.data.Username === '' && answer.data.Secret === '') return undefined;
  return passwordOrToken(answer.data.Username, answer.data.Secret);
}

/** @throws McpBuildError `credential-helper` */
export async function helperStore(
  helper: string,
  registry: string,
  secret: { readonly username: string; readonly password: string },
  environment: Environment,
): Promise<void> {
  const input = JSON.stringify({ ServerURL: registry, Username: secret.username, Secret: secret.password });
  const { status, output } = await run(helper, 'store', input, environment);
  if (status !== 0) throw failed(helper, `did not store it: ${oneLine(output)}`);
}

/** @throws McpBuildError `credential-helper` */
export async function helperErase(helper: string, registry: string, environment: Environment): Promise<void> {
  const { status, output } = await run(helper, 'erase', registry, environment);
  if (status !== 0 && !/credentials not found/i.test(output))
    throw failed(helper, `did not erase it: ${oneLine(output)}`);
}

/** Without a shell; what it gets, it gets on stdin, where no list of processes shows it. */
function run(
  helper: string,
  action: 'get' | 'store' | 'erase',
  input: string,
  environment: Environment,
): Promise<{ readonly status: number | string; readonly output: string }> {
  // The name comes from a file: it must not become a path.
  if (!NAME.test(helper)) throw failed(helper, 'is not the name of a credential helper');
  return new Promise((resolve, reject) => {
    const child = spawn(`docker-credential-${helper}`, [action], {
      env: environment,
      stdio: ['pipe', 'pipe', 'ignore'],
      timeout: TIMEOUT,
      killSignal: 'SIGKILL',
    });
    const chunks: Buffer[] = [];
    let size = 0;
    child.once('error', (cause) =>
      reject(failed(helper, `can't be started (${(cause as NodeJS.ErrnoException).code})`)),
    );
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= OUTPUT) return void chunks.push(chunk);
      child.kill('SIGKILL');
      reject(failed(helper, `gave more than ${OUTPUT} bytes`));
    });
    child.once('close', (status, signal) => {
      resolve({ status: status ?? signal ?? 'an unknown status', output: Buffer.concat(chunks).toString() });
    });
    // A helper that doesn't read its input has its own reasons.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

function failed(helper: string, reason: string): McpBuildError {
  return new McpBuildError({
    code: 'credential-helper',
    message: `The credential helper docker-credential-${oneLine(helper, 100)} ${reason}`,
    input: oneLine(helper, 100),
    fix: 'Check credHelpers and credsStore in the credential file, and that the helper is on PATH.',
  });
}
