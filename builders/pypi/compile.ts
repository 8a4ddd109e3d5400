import { writeFile } from 'node:fs/promises';
import { resolve as absolute, join } from 'node:path';
import { withTemporaryFolder } from '../../files/index.ts';
import type { ResolveOptions } from '../adapter.ts';
import type { Platform } from '../platform.ts';
import type { Configuration, Index } from './config/index.ts';
import { type Ran, run } from './process.ts';
import { type LockedPackage, parsePylock } from './pylock.ts';
import { findPython } from './python.ts';
import { PYTHON_VERSION, uvPlatform } from './tags.ts';
import { findUv } from './uv.ts';

/** A resolution takes seconds; one that takes this long, in milliseconds, never ends. */
const TIMEOUT = 15 * 60_000;
const OUTPUT_LIMIT = 64 * 1024 * 1024;

/** A cut-off that cuts nothing off. */
const ANY_TIME = '2999-01-01T00:00:00Z';

export interface Question {
  /** PEP 508, one a line of `requirements.in`. */
  readonly requirements: readonly string[];
  /** Versions for whatever turns out to be needed. */
  readonly constraints?: readonly string[];
  readonly platform: Platform;
  /** The project whose wheel one of the requirements gives a path of. */
  readonly local?: string;
  /** PEP 508, each in place of whatever its dependents ask for. */
  readonly overrides?: readonly string[];
  /** Projects whose releases may be younger than `before`; which, is checked of the outcome. */
  readonly young?: readonly string[];
  /** Releases after this don't exist. */
  readonly before: Date | undefined;
  /** The project whose page of some minutes ago doesn't do. */
  readonly afresh?: string;
}

export type Answer =
  | { readonly kind: 'resolved'; readonly packages: readonly LockedPackage[] }
  /** What uv says, as it says it: may hold what an index or a package's author wrote. */
  | { readonly kind: 'failed'; readonly output: string };

export interface Compiler {
  compile(question: Question): Promise<Answer>;
  /** Which index each package of a resolved question came from, by the package's name. */
  origins(question: Question): Promise<ReadonlyMap<string, Index>>;
}

/**
 * Runs `work` with a uv that knows the user's indexes and nothing else of the machine: no configuration file, no project, no
 * environment of Python. uv reads metadata only: it is told to build nothing, so no code of a package runs.
 * @throws McpBuildError `python-missing`, `uv-missing`, `program-failed`
 */
export async function withCompiler<T>(
  configuration: Configuration,
  options: ResolveOptions,
  work: (compiler: Compiler) => Promise<T>,
): Promise<T> {
  return withTemporaryFolder(join(options.cache, 'uv'), async (folder) => {
    const [uv, python] = await Promise.all([findUv(options, folder), findPython(options, folder)]);
    const environment = environmentFor(configuration, options);

    async function ask(question: Question, words: readonly string[]): Promise<Ran> {
      const input = join(folder, 'requirements.in');
      await writeFile(input, question.requirements.map((line) => `${line}\n`).join(''));
      // A file without a line is one that uv warns of.
      const listed = async (word: string, file: string, lines: readonly string[] = []) => {
        if (lines.length === 0) return [];
        const path = join(folder, file);
        await writeFile(path, lines.map((line) => `${line}\n`).join(''));
        return [word, path];
      };
      const cutOff = question.before
        ? [
            ...['--exclude-newer', question.before.toISOString()],
            ...(question.young ?? []).flatMap((name) => ['--exclude-newer-package', `${name}=${ANY_TIME}`]),
          ]
        : [];
      return run(
        uv,
        [
          ...['pip', 'compile', '--no-build', '--no-header', '--no-progress', '--color', 'never'],
          ...['--python', python, '--python-version', PYTHON_VERSION, '--no-python-downloads'],
          ...['--python-platform', uvPlatform(question.platform)],
          ...cutOff,
          ...(await listed('--constraints', 'constraints.txt', question.constraints)),
          ...(await listed('--overrides', 'overrides.txt', question.overrides)),
          ...(question.afresh === undefined ? [] : ['--refresh-package', question.afresh]),
          ...words,
          input,
        ],
        { environment, folder, timeout: TIMEOUT, limit: OUTPUT_LIMIT, signal: options.signal },
      );
    }

    return work({
      async compile(question) {
        const { code, stdout, stderr } = await ask(question, ['--format', 'pylock.toml']);
        if (code !== 0) return { kind: 'failed', output: stderr };
        return { kind: 'resolved', packages: parsePylock(stdout, question.local) };
      },
      async origins(question) {
        const { indexes } = configuration;
        const found = new Map<string, Index>();
        if (indexes.length === 1) return found;
        // The same answer in the older format, which alone says where from; uv has all of it in its cache by now.
        const words = ['--format', 'requirements.txt', '--no-annotate', '--emit-index-annotation'];
        const { stdout } = await ask(question, words);
        for (const [, name = '', url = ''] of stdout.matchAll(/^([a-z0-9][a-z0-9._-]*)\S*==.*\n\s+# from (\S+)$/gm)) {
          const index = indexes.find((one) => sameAddress(one.url, url));
          if (index) found.set(name, index);
        }
        return found;
      },
    });
  });
}

function sameAddress(a: string, b: string): boolean {
  return a.replace(/\/+$/, '') === b.replace(/\/+$/, '');
}

/** Variables of uv's that say how, not what: all others that the user has are in the configuration already or would be in its way. */
const PASSED_ON = /^UV_(?:HTTP_RETRIES|CONCURRENT_[A-Z]+|OFFLINE|GIT_LFS)$/;

function environmentFor(configuration: Configuration, options: ResolveOptions): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.environment)) {
    if (value === undefined || value === '') continue;
    if (/^(?:UV|PIP|PYTHON|VIRTUAL_ENV|CONDA)/.test(name) && !PASSED_ON.test(name)) continue;
    environment[name] = value;
  }
  const { certificates, certificateFolder, clientCertificate, proxy, insecureHosts } = configuration;
  Object.assign(
    environment,
    {
      UV_NO_CONFIG: '1',
      UV_CACHE_DIR: join(options.cache, 'uv', 'cache'),
      UV_HTTP_TIMEOUT: String(Math.ceil(configuration.timeout)),
    },
    certificates ? { SSL_CERT_FILE: absolute(certificates) } : {},
    certificateFolder ? { SSL_CERT_DIR: absolute(certificateFolder) } : {},
    clientCertificate ? { SSL_CLIENT_CERT: absolute(clientCertificate) } : {},
    configuration.systemCertificates ? { UV_SYSTEM_CERTS: '1', UV_NATIVE_TLS: '1' } : {},
    proxy.http ? { HTTP_PROXY: proxy.http } : {},
    proxy.https ? { HTTPS_PROXY: proxy.https } : {},
    proxy.none ? { NO_PROXY: proxy.none } : {},
    insecureHosts.length > 0 ? { UV_INSECURE_HOST: insecureHosts.join(' ') } : {},
    configuration.strategy ? { UV_INDEX_STRATEGY: configuration.strategy } : {},
    configuration.prerelease ? { UV_PRERELEASE: configuration.prerelease } : {},
    configuration.resolution ? { UV_RESOLUTION: configuration.resolution } : {},
    configuration.keyring ? { UV_KEYRING_PROVIDER: configuration.keyring } : {},
  );
  const words: string[] = [];
  for (const [at, index] of configuration.indexes.entries()) {
    // Own names, so that two of the user's that differ only in punctuation don't share a variable.
    const word = `mcpbuild-${at}=${index.url}`;
    if (at === configuration.indexes.length - 1) environment.UV_DEFAULT_INDEX = word;
    else words.push(word);
    // In variables and never in the URL, which uv repeats in what it prints.
    if (index.credentials) {
      environment[`UV_INDEX_MCPBUILD_${at}_USERNAME`] = index.credentials.username;
      environment[`UV_INDEX_MCPBUILD_${at}_PASSWORD`] = index.credentials.password;
    }
  }
  if (words.length > 0) environment.UV_INDEX = words.join(' ');
  return environment;
}
