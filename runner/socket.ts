import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { McpBuildError } from '../errors/index.ts';
import { makeFolders } from '../files/index.ts';

/** The system's limit for the name of a socket, less what the shortest of them takes off. */
const NAME_LIMIT = 100;

/**
 * A socket in the state folder, or in one of this user's in the system's temporary folder where that name is too long for a socket. The folder is made, for
 * this user alone.
 * @throws McpBuildError `code`, where the folder is another user's
 */
export async function socketIn(folder: string, name: string, code: string): Promise<string> {
  const uid = process.getuid?.() ?? 0;
  const key = createHash('sha256').update(folder).digest('hex').slice(0, 12);
  const fits = Buffer.byteLength(join(folder, name)) <= NAME_LIMIT;
  const place = fits ? folder : join(tmpdir(), `mcp-build-${uid}-${key}`);
  await makeFolders(place, 0o700);
  const found = await stat(place);
  if (found.uid !== uid) {
    throw new McpBuildError({
      code,
      message: `${place} belongs to another user`,
      input: place,
      fix: 'Set MCP_BUILD_HOME to a folder of your own.',
    });
  }
  return join(place, name);
}
