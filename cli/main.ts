#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { homeOf } from './line/home.ts';

// Half of a short command's time would go into compiling. Kept in the user's own folder: the system's temporary one is anybody's.
try {
  enableCompileCache(join(homeOf(process.env).cache, 'compiled'));
} catch {
  // An unusable folder is told by whatever needs it; this only makes things slower.
}
// A run stays as long as its client: 9 of its 89 MB would be room that only its first half second needs.
if (/^(?:run|attach|start)$/.test(process.argv[2] ?? '')) setFlagsFromString('--semi-space-growth-factor=1');
// Compiling validators pays off for those that read much; one image's few small documents are read sooner without.
if (/^(?:run|attach|verify)$/.test(process.argv[2] ?? '')) (await import('zod')).config({ jitless: true });
const { runProgram } = await import('./program.ts');
await runProgram(process.argv.slice(2));
