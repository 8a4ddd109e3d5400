import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

// Makes dist/: what is published. Node strips no types under node_modules, so the installed package is plain JavaScript, and lies
// in the same tree as the sources, so that data next to a module is found the same way in both.
const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const DATA = ['images'];

rmSync(dist, { recursive: true, force: true });
execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.publish.json'], {
  cwd: root,
  stdio: 'inherit',
});

const { include } = JSON.parse(readFileSync(join(root, 'tsconfig.publish.json'), 'utf8')) as { include: string[] };
const listed = execFileSync(
  'git',
  ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--', ...include, ...DATA],
  {
    cwd: root,
    encoding: 'utf8',
  },
);
for (const file of new Set(listed.split('\0'))) {
  if (file === '' || file.endsWith('.ts') || lstatSync(join(root, file), { throwIfNoEntry: false })?.isFile() !== true)
    continue;
  mkdirSync(dirname(join(dist, file)), { recursive: true });
  copyFileSync(join(root, file), join(dist, file));
}

const main = join(dist, 'cli/main.js');
if (!readFileSync(main, 'utf8').startsWith('#!/usr/bin/env node\n')) throw new Error('dist/cli/main.js has no shebang');
chmodSync(main, 0o755);

// Modules that read package.json find it one folder up, in the checkout and in dist/ alike.
const { name, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  name: string;
  version: string;
};
writeFileSync(join(dist, 'package.json'), `${JSON.stringify({ name, version, type: 'module' })}\n`);
