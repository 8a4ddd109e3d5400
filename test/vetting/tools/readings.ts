import { writeFile } from 'node:fs/promises';
import { hidingOf, readTexts, sequenceOf } from '../../../vetting/tools/poisoning.ts';
import { attacks, benign, honest, type Sample } from './corpus.ts';

/**
 * What `fit.py` learns from: of each sample its words with their signs, as the scanner reads them. `group` is what must not be in training and
 * test at once, `exam` what the model never sees.
 */
function readingOf(set: string, { name, group, texts, attack, exam }: Sample) {
  const reading = readTexts(texts);
  return {
    set,
    name,
    group,
    attack,
    exam,
    hidden: hidingOf(reading),
    words: sequenceOf(reading).map(({ text, signs }) => [text, ...signs]),
  };
}

const [to] = process.argv.slice(2);
if (to === undefined) throw new Error('usage: node test/vetting/tools/readings.ts FILE');
const samples = [
  ...benign().map((sample) => readingOf('benign', sample)),
  ...honest().map((sample) => readingOf('honest', sample)),
  ...(['attacks', 'attacks-published', 'attacks-others', 'attacks-held-out'] as const).flatMap((file) =>
    attacks(file).map((sample) => readingOf(file, sample)),
  ),
];
await writeFile(to, JSON.stringify(samples));
