import { McpBuildError } from '../../errors/index.ts';
import type { FetchOptions } from '../adapter.ts';
import { npmConfiguration } from './configuration.ts';
import { readBody, redact, request } from './http.ts';
import { registryOf } from './packuments.ts';

/** In bytes. */
const LIMIT = 16 * 1024 * 1024;

/**
 * Keys and attestations as the user's registry has them, parsed and otherwise as they came; undefined where it has none (404). Nothing of it
 * is verified here. @param name a package of the registry that is asked. @throws McpBuildError `registry-unavailable`, `registry-invalid`
 */
export async function npmKeys(
  name: string,
  options: FetchOptions,
): Promise<{ readonly registry: string; readonly keys: unknown }> {
  const configuration = await npmConfiguration(options);
  const registry = registryOf(name, configuration.flat);
  return { registry, keys: await getJson(new URL('-/npm/v1/keys', slashed(registry)).href, registry, options) };
}

/** @param url as the package's document names it */
export async function npmAttestations(url: string, name: string, options: FetchOptions): Promise<unknown> {
  const configuration = await npmConfiguration(options);
  const registry = registryOf(name, configuration.flat);
  const at = URL.canParse(url) ? new URL(url) : undefined;
  const home = new URL(registry);
  // Behind a mirror the document still names the registry that it mirrors; what is asked is the mirror.
  if (!at) return undefined;
  const path = at.pathname.slice(at.pathname.indexOf('/-/npm/') + 1);
  const address = at.origin === home.origin ? at.href : new URL(path, slashed(registry)).href;
  return getJson(address, registry, options);
}

function slashed(registry: string): string {
  return `${registry.replace(/\/+$/, '')}/`;
}

async function getJson(url: string, registry: string, options: FetchOptions): Promise<unknown> {
  const configuration = await npmConfiguration(options);
  const reply = await request(url, {
    configuration,
    registry,
    signal: options.signal,
    headers: { accept: 'application/json' },
  });
  if (reply.status === 404 || reply.status === 400 || reply.status === 405) {
    reply.body.resume();
    return undefined;
  }
  if (reply.status !== 200) {
    reply.body.destroy();
    throw invalid(url, `answers ${reply.status}`);
  }
  const bytes = await readBody(reply, reply.body, LIMIT);
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch (cause) {
    throw invalid(url, 'is not JSON', cause);
  }
}

function invalid(url: string, what: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'registry-invalid',
    message: `${redact(url)} ${what}`,
    input: redact(url),
    fix: 'Check that it is an npm registry, and that no login page or proxy answers for it.',
    exit: 5,
    cause,
  });
}
