import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

// Makes images/bridge/bridge.mjs, the bridge of images locked for HTTP: one file without dependencies, from the gateway's own sources. It is committed, since every
// lock with a bridge names its digest: a new one is made on purpose, and then those locks are refreshed. `--print` shows what it would be.
const root = fileURLToPath(new URL('..', import.meta.url));

/** The bridge as the sources of this checkout give it. Nothing in it depends on the machine. */
export async function bridgeSource(): Promise<string> {
  const entry = join(root, 'gateway/bridge/program.ts');
  const bundled = await rolldown({
    cwd: root,
    input: entry,
    platform: 'node',
    external: /^node:/,
    treeshake: { moduleSideEffects: (id) => id === entry },
    onLog(level, log, handler) {
      if (level === 'warn') throw new Error(log.message);
      handler(level, log);
    },
  });
  const { output } = await bundled.generate({ format: 'esm', codeSplitting: false, comments: false });
  const [chunk] = output;
  if (output.length !== 1 || chunk.type !== 'chunk') throw new Error('the bridge is more than one file');
  const foreign = chunk.moduleIds.filter((id) => id.includes('node_modules'));
  if (foreign.length > 0) throw new Error(`the bridge would hold code of others: ${foreign.join(', ')}`);
  return chunk.code;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const code = await bridgeSource();
  if (process.argv.includes('--print')) process.stdout.write(code);
  else {
    const file = join(root, 'images/bridge/bridge.mjs');
    const before = readFileSync(file, { encoding: 'utf8', flag: 'a+' });
    writeFileSync(file, code);
    process.stderr.write(before === code ? 'unchanged\n' : `written: ${code.length} bytes\n`);
  }
}
