import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { homeOf } from '../../cli/line/home.ts';
import { openLayout } from '../../registry/index.ts';
import { describeWith } from '../e2e/harness/needs.ts';
import { writeImage } from '../registry/image.ts';
import { type Contender, published, ratio, report, sideBySide } from './measure.ts';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
/** In bytes. Images, whose layers are compressed, and a volume whose content isn't: what a team of some servers holds of each. */
const LAYERS = [[48_000_000, 30_000_000], [45_000_000, 25_000_000], [60_000_000]];
const IMAGES = [...LAYERS, ...LAYERS, ...LAYERS];
const VOLUME = 200_000_000;

/** Text of made-up words, the first of them far more often than the last: zstd makes a third of it, as it does of a database of notes. */
function notes(size: number, seed: number): string {
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const letter = () => String.fromCharCode(97 + Math.floor(random() ** 1.5 * 26));
  const words = Array.from({ length: 8192 }, () => Array.from({ length: 3 + random() * 7 }, letter).join(''));
  const parts: string[] = [];
  for (let length = 0; length < size; ) {
    const word = words[Math.floor(words.length ** random()) - 1] ?? '';
    parts.push(word);
    length += word.length + 1;
  }
  return parts.join(' ').slice(0, size);
}

let folder: string;
let env: NodeJS.ProcessEnv;
let program: string;

beforeAll(async () => {
  program = published();
  folder = await mkdtemp(join(tmpdir(), 'backup-bench-'));
  env = {
    ...process.env,
    MCP_BUILD_HOME: join(folder, 'home'),
    XDG_CONFIG_HOME: join(folder, 'config'),
    MCP_BUILD_PASSPHRASE: 'only for a bench',
  };
  const store = await openLayout(homeOf(env).store);
  for (const [at, layers] of IMAGES.entries()) await store.tag(`server-${at}`, await writeImage(store, layers));
  await mkdir(join(folder, 'volume'));
  for (let at = 0; at < 10; at += 1) await writeFile(join(folder, 'volume', `${at}.txt`), notes(VOLUME / 10, at + 1));
}, 600_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

describeWith(['zstd'], 'a backup', () => {
  test('beside tar | zstd of the same bytes', async () => {
    const backup = (to: string) => [
      process.execPath,
      program,
      'backup',
      '--to',
      join(folder, to),
      '--include',
      join(folder, 'volume'),
    ];
    const contenders: readonly Contender[] = [
      {
        name: 'backup',
        before: () => rm(join(folder, 'fresh'), { recursive: true, force: true }),
        command: [...backup('fresh'), '--recipient', 'age1tn40d0jg2z0msujv4ejyamscgascjhez877s2m35drx999hgs4xs9t3t20'],
        env,
      },
      { name: 'again', command: backup('fresh'), env },
      {
        name: 'tar | zstd',
        command: ['sh', '-c', `tar c -C "${folder}" home volume | zstd -q -f -o "${join(folder, 'all.tar.zst')}"`],
        env,
      },
    ];
    const results = await sideBySide(contenders, ROUNDS);
    report('backup', [
      {
        what: 'a first backup, in times of tar | zstd',
        measured: ratio(results, 'backup', 'tar | zstd'),
        target: 1 / 0.7,
      },
      { what: 'one without changes, in times of the first', measured: ratio(results, 'again', 'backup'), target: 0.1 },
    ]);
    expect(results.get('again')).toHaveLength(ROUNDS);
  });
});
