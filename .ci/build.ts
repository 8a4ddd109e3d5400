import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { builderDigest } from '../cli/version.ts';
import { bundle } from './bundle.ts';
import { licences } from './licences.ts';

// Makes dist/: what is published. Node strips no types under node_modules, so the installed package is plain JavaScript. Data lies in
// the same places as in the checkout, so that it is found the same way in both.
const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const SOURCES = ['cli', 'builders', 'registry', 'trust', 'vetting', 'runner', 'gateway', 'errors', 'digest', 'files'];
const DATA = ['images'];

rmSync(dist, { recursive: true, force: true });
const listed = execFileSync(
  'git',
  ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--', ...SOURCES, ...DATA],
  { cwd: root, encoding: 'utf8' },
);
const files = [...new Set(listed.split('\0'))].filter(
  (file) => file !== '' && lstatSync(join(root, file), { throwIfNoEntry: false })?.isFile() === true,
);
const inlined = await bundle(root, dist, files);
for (const file of files) {
  if (/\.tsx?$/.test(file)) continue;
  mkdirSync(dirname(join(dist, file)), { recursive: true });
  copyFileSync(join(root, file), join(dist, file));
}
writeFileSync(join(dist, 'THIRD-PARTY-LICENSES'), licences(root, inlined));

const main = join(dist, 'cli/main.js');
if (!readFileSync(main, 'utf8').startsWith('#!/usr/bin/env node\n')) throw new Error('dist/cli/main.js has no shebang');
chmodSync(main, 0o755);

// Modules that read package.json find it one folder up, in the checkout and in dist/ alike. The digest names the sources that make
// images, which aren't here as files.
const { name, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  name: string;
  version: string;
};
const builder = await builderDigest();
writeFileSync(join(dist, 'package.json'), `${JSON.stringify({ name, version, type: 'module', builder })}\n`);
