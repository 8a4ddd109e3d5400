import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encoder } from '../../../vetting/tools/encoder/encoder.ts';
import { encoded } from '../../../vetting/tools/network.ts';
import { hidingOf, readTexts, sequencesOf } from '../../../vetting/tools/poisoning.ts';
import { attacks, benign, elsewhere, honest, type Sample } from './corpus.ts';

/** Words of a sample that are learnt from. */
const MOST_WORDS = 600;

/** Numbers that the encoder makes of a word. */
const WIDTH = encoder().width;

/** What is one in the files' whole numbers. */
const ONE = 2048;

/**
 * What `fit.py` learns from, as the scanner reads it: of each sample its words with their signs in `readings.json`, and in `encoded.bin` what the
 * encoder makes of them, 16 bits a number, one word after the other. `group` is what must not be in training and test at once, `exam` what
 * the model never sees. The attacks of another FILE (`[{"source", "description", "inputSchema"?}]`) are measured too, as `elsewhere`.
 */
const [folder, others] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: node test/vetting/tools/readings.ts FOLDER [FILE]');
const samples: readonly (readonly [string, Sample])[] = [
  ...benign().map((sample) => ['benign', sample] as const),
  ...honest().map((sample) => ['honest', sample] as const),
  ...(['attacks', 'attacks-published', 'attacks-others', 'attacks-held-out'] as const).flatMap((file) =>
    attacks(file).map((sample) => [file, sample] as const),
  ),
  ...(others === undefined ? [] : elsewhere(others).map((sample) => ['elsewhere', sample] as const)),
];
const file = await open(join(folder, 'encoded.bin'), 'w');
try {
  const readings = [];
  for (const [set, { name, group, texts, attack, exam }] of samples) {
    const reading = readTexts(texts);
    const sequences = sequencesOf(reading);
    const words = sequences.flat().slice(0, MOST_WORDS);
    readings.push({
      set,
      name,
      group,
      attack,
      exam,
      hidden: hidingOf(reading),
      words: words.map(({ text, signs }) => [text, ...signs]),
    });
    const numbers = encoded(sequences).subarray(0, words.length * WIDTH);
    await file.write(Int16Array.from(numbers, (value) => Math.round(value * ONE)));
  }
  await writeFile(join(folder, 'readings.json'), JSON.stringify(readings));
} finally {
  await file.close();
}
