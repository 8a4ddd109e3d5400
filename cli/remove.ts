import { rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { parseServerName } from '../builders/index.ts';
import { LOCK_FILES, lockFolderOf } from './line/folder.ts';
import { editManifest, MANIFEST, readManifest, removeServer, serverEntry } from './line/manifest/index.ts';
import { examples, jsonOption, usage } from './options.ts';
import { terminal } from './terminal.ts';

export function removeCommand(): Command {
  return new Command('remove')
    .summary(`take a server out of ${MANIFEST}`)
    .description(
      `Removes a server from the ${MANIFEST} of this folder, with the comment right above it, and its lock. What was published stays in the registry.`,
    )
    .argument('<name>', 'name of the server', (value) => usage(() => parseServerName(value)))
    .option('--keep-lock', 'leave ./lockfiles/<name>/ as it is')
    .addOption(jsonOption())
    .addHelpText('after', examples(['mcp-build remove server-memory', 'nobody uses it any more']))
    .action(async (name: string, options: { readonly keepLock?: boolean; readonly json?: boolean }) => {
      const workspace = process.cwd();
      serverEntry(await readManifest(workspace), name);
      await editManifest(workspace, (text = '') => removeServer(text, MANIFEST, name));
      const folder = lockFolderOf(workspace, name);
      if (!options.keepLock) {
        for (const file of LOCK_FILES) await rm(join(folder, file), { force: true });
        // What somebody has put beside the lock is theirs.
        await rmdir(folder).catch(() => undefined);
      }
      await terminal(options).result(
        { name, lock: options.keepLock ? folder : null },
        `removed ${name} from ${MANIFEST}`,
      );
    });
}
