import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Reached } from '../../builders/index.ts';
import { reachNpm } from '../../builders/npm/index.ts';
import { reachPypi } from '../../builders/pypi/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { credentialFiles, hostsWithCredentials, openRemote } from '../../registry/index.ts';
import type { Check } from '../../runner/index.ts';
import { publicPem, readPrivateKey } from '../../trust/index.ts';
import type { Environment, Home } from './home.ts';
import { machineKeyPaths, publicKeyFile, sharedKeyPaths } from './keys.ts';
import { findManifest } from './manifest/index.ts';
import { policyFiles } from './policy.ts';

/** For one registry to answer, in milliseconds: this is a person waiting. */
const PATIENCE = 10_000;
/** In milliseconds. A certificate of a keyless signature lives ten minutes, and time stamps are held against this machine's clock. */
const CLOCK_WARN = 60_000;
const CLOCK_FAIL = 5 * 60_000;

export interface Surroundings {
  readonly home: Home;
  readonly environment: Environment;
  /** Where a manifest may name the registry that is published to. */
  readonly workspace: string;
  /** Nobody is asked, so neither registries nor the clock are judged. */
  readonly offline: boolean;
}

/** Keys, permissions of files, registries and the clock: what the line needs beside a runner. One that fails hides no other. */
export async function diagnoseLine(surroundings: Surroundings): Promise<readonly Check[]> {
  const [keys, files, registries] = await Promise.all([
    keyChecks(surroundings.home),
    fileChecks(surroundings),
    surroundings.offline ? [] : registryChecks(surroundings),
  ]);
  return [...keys, ...files, ...registries];
}

async function keyChecks(home: Home): Promise<readonly Check[]> {
  const pairs = [
    { id: 'machine-key', ...machineKeyPaths(home), own: true },
    { id: 'shared-key', ...sharedKeyPaths(home.keys), own: false },
  ];
  const checks: Check[] = [];
  for (const { id, own, ...pair } of pairs) {
    const [secret, open] = await Promise.all([isThere(pair.private), isThere(pair.public)]);
    if (!secret && !open) continue;
    checks.push(await failing(id, () => pairCheck(id, own, pair, secret, open)));
  }
  if (checks.length === 0) {
    return [{ id: 'keys', status: 'ok', detail: 'No key yet: the first run makes one for this machine' }];
  }
  return checks;
}

async function pairCheck(
  id: string,
  own: boolean,
  pair: { readonly private: string; readonly public: string },
  secret: boolean,
  open: boolean,
): Promise<Check> {
  if (!open) {
    return {
      id,
      status: 'fail',
      detail: `${pair.private} has no public half beside it`,
      fix: own
        ? `Remove ${pair.private}: the next run makes a new key.`
        : `Restore ${pair.public}, or make a new key with \`mcp-build init\`.`,
    };
  }
  const { key } = await publicKeyFile(pair.public);
  // The shared one is encrypted, and nobody is asked for its passphrase here.
  if (secret && own && publicPem(await readPrivateKey(pair.private, undefined)) !== publicPem(key)) {
    return {
      id,
      status: 'fail',
      detail: `${pair.public} is not the public half of ${pair.private}: what that signs would be refused`,
      fix: `Remove both: the next run makes a new key, and builds and signs anew.`,
    };
  }
  return { id, status: 'ok', detail: secret ? pair.private : `${pair.public}, to verify with` };
}

/** What others may do to the files on which trust rests. */
async function fileChecks({ home, environment }: Surroundings): Promise<readonly Check[]> {
  const secrets = [
    home.run,
    ...(await namesIn(home.keys)).filter((name) => name.endsWith('.key')).map((name) => join(home.keys, name)),
  ];
  const trusted = [home.root, home.keys, home.locks, home.store, ...policyFiles(environment)];
  const checks: Check[] = [];
  for (const path of secrets) {
    const mode = await modeOf(path);
    if (mode !== undefined && (mode & 0o077) !== 0) {
      const right = path === home.run ? '700' : '600';
      checks.push(permission(path, 'fail', 'can be read by others', `chmod ${right} ${path}`));
    }
  }
  for (const path of trusted) {
    const mode = await modeOf(path);
    if (mode !== undefined && (mode & 0o022) !== 0)
      checks.push(permission(path, 'fail', 'can be changed by others', `chmod go-w ${path}`));
  }
  for (const path of credentialFiles(environment)) {
    const mode = await modeOf(path);
    if (mode !== undefined && (mode & 0o044) !== 0)
      checks.push(permission(path, 'warn', 'holds credentials and can be read by others', `chmod 600 ${path}`));
  }
  if (checks.length > 0) return checks;
  return [{ id: 'permissions', status: 'ok', detail: 'Keys, state and policy are nobody else’s to read or change' }];
}

function permission(path: string, status: Check['status'], what: string, command: string): Check {
  return { id: 'permissions', status, detail: `${path} ${what}`, fix: `Run: ${command}` };
}

async function registryChecks({ environment, workspace }: Surroundings): Promise<readonly Check[]> {
  const bounded = () => ({ environment, workspace: undefined, signal: AbortSignal.timeout(PATIENCE) });
  const asked = async (name: string, ask: () => Promise<readonly Reached[]>): Promise<readonly Reached[]> =>
    ask().catch((error: unknown) => [{ name, address: name, date: undefined, error }]);
  const begun = Date.now();
  const [npm, pypi, images] = await Promise.all([
    asked('npm', () => reachNpm(bounded())),
    asked('pypi', () => reachPypi(bounded())),
    asked('images', () => reachImages(environment, workspace, bounded().signal)),
  ]);
  const answers = [...npm, ...pypi, ...images];
  return [...answers.map(registryCheck), clockCheck(answers, begun, Date.now())];
}

/** Each registry of images that there are credentials for, and the manifest's. */
async function reachImages(
  environment: Environment,
  workspace: string,
  signal: AbortSignal,
): Promise<readonly Reached[]> {
  const hosts = new Set(await hostsWithCredentials(environment));
  const host = (await findManifest(workspace))?.registry?.split('/')[0];
  if (host && !host.includes('$')) hosts.add(host);
  return Promise.all(
    [...hosts].map(async (registry): Promise<Reached> => {
      const reached = { name: 'images', address: registry, date: undefined };
      try {
        await openRemote({ registry, repository: '' }, { environment, signal }).ping();
        return reached;
      } catch (error) {
        return { ...reached, error };
      }
    }),
  );
}

function registryCheck({ name, address, error }: Reached): Check {
  const id = `registry-${name}`;
  if (error === undefined) return { id, status: 'ok', detail: `${address} answers` };
  if (error instanceof McpBuildError) return faulty(id, error);
  return {
    id,
    status: 'fail',
    detail: `${address} did not answer within ${PATIENCE / 1000} s`,
    fix: 'Check the network, the proxy and the address in its configuration.',
  };
}

function clockCheck(answers: readonly Reached[], begun: number, ended: number): Check {
  const date = answers.map((answer) => Date.parse(answer.date ?? '')).find((time) => !Number.isNaN(time));
  if (date === undefined)
    return { id: 'clock', status: 'warn', detail: 'No registry said what time it is, so the clock is not compared' };
  // `Date` has whole seconds, and belongs to some moment of the request.
  const off = date + 1000 < begun ? begun - date : date > ended ? date - ended : 0;
  if (off <= CLOCK_WARN)
    return { id: 'clock', status: 'ok', detail: 'This machine and the registry agree on the time' };
  return {
    id: 'clock',
    status: off > CLOCK_FAIL ? 'fail' : 'warn',
    detail: `This machine’s clock is ${Math.round(off / 1000)} s ${date < begun ? 'ahead of' : 'behind'} the registry’s: signatures and ages of releases are judged by it`,
    fix: 'Set the clock, by NTP where you can.',
  };
}

function faulty(id: string, { message, fix }: McpBuildError): Check {
  return { id, status: 'fail', detail: message, ...(fix === undefined ? {} : { fix }) };
}

async function failing(id: string, check: () => Promise<Check>): Promise<Check> {
  try {
    return await check();
  } catch (error) {
    if (!(error instanceof McpBuildError)) throw error;
    return faulty(id, error);
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch(() => []);
}

async function modeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.mode;
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
