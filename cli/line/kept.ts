import { join } from 'node:path';
import { McpBuildError } from '../../errors/index.ts';
import { askKeeper, type KeptRecord, listKept, type Session, takeKept } from '../../runner/index.ts';
import type { Home } from './home.ts';

/** Where records of keepers are. */
export function keptFolder(home: Home): string {
  return join(home.run, 'kept');
}

/** The name under which what a keeper does is logged. */
export function keeperLog(name: string): string {
  return `mcp-build-keeper-${name}`;
}

/** A keeper by name. @throws McpBuildError `not-kept` */
export async function keptNamed(home: Home, name: string): Promise<KeptRecord> {
  const found = (await listKept(keptFolder(home))).find((record) => record.name === name);
  if (found) return found;
  throw new McpBuildError({
    code: 'not-kept',
    message: `No server is kept ready as "${name}"`,
    input: name,
    fix: 'See which are with `mcp-build ps`, or start it with `mcp-build start --detach`.',
  });
}

/**
 * A started server of what was just verified, where a keeper has one behind exactly these walls. Whatever is wrong with a keeper is no reason not to start
 * without it.
 */
export async function keptReady(
  home: Home,
  wanted: { readonly target: string; readonly fingerprint: string },
  digest: string,
  say: (line: string) => void,
): Promise<Session | undefined> {
  for (const record of await listKept(keptFolder(home))) {
    if (record.target !== wanted.target) continue;
    try {
      const session = await takeKept(record, { digest, fingerprint: wanted.fingerprint });
      if (session) return session;
    } catch (error) {
      const { message, code } = error as McpBuildError;
      // One that was killed is nobody's concern here.
      if (await askKeeper(keptFolder(home), record).catch(() => true))
        say(`not from those kept ready: ${message} [${code}]`);
    }
  }
  return undefined;
}
