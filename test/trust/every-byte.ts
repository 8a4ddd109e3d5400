import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { isFault } from '../../errors/index.ts';
import { openLayout } from '../../registry/index.ts';
import {
  type Assessment,
  assess,
  attest,
  gather,
  generateKey,
  keySigner,
  type Policy,
  PREDICATES,
  parsePolicy,
  provenancePredicate,
  publicPem,
  signImage,
} from '../../trust/index.ts';
import { writeImage } from './image.ts';
import { BUILD, SERVER } from './predicates.ts';

const NOW = new Date('2026-09-15T12:00:00Z');

/** Where one byte was changed, and what came of it. */
export interface Outcome {
  readonly file: string;
  readonly offset: number;
  /** `same`: it passed and means what it meant. Anything else than these is a hole. */
  readonly result: 'refused' | 'fault' | 'same' | 'HOLE' | 'CRASH';
  readonly detail?: string;
}

export interface Ground {
  /** Files of the image itself: index, manifests, configs and layers. */
  readonly image: ReadonlySet<string>;
  /** Every byte that there is: a file of the layout, and an offset in it. */
  readonly places: readonly (readonly [file: string, offset: number])[];
  /** Whether a file is named by its digest: which bit of a byte was flipped doesn't matter to a hash. */
  addressed(file: string): boolean;
  /** Flips `bits` of one byte, judges, and puts it back. Changes in different `lanes` don't see each other. */
  change(file: string, offset: number, bits: number, lane?: number): Promise<Outcome>;
  end(): Promise<void>;
}

/** A signed and attested image in a layout of its own, and the policy that accepts it. */
export async function ground(): Promise<Ground> {
  const folder = await mkdtemp(join(tmpdir(), 'every-byte-'));
  const original = join(folder, 'original');
  const key = generateKey();
  const signer = keySigner(key);
  const store = await openLayout(original);
  const image = await writeImage(store);
  for (const subject of [image.index, ...image.platforms]) {
    await attest(store, subject, PREDICATES.server, SERVER, signer, NOW);
    await attest(store, subject, PREDICATES.provenance, provenancePredicate(BUILD), signer, NOW);
  }
  await signImage(store, image.index, signer, NOW);
  const text = JSON.stringify({
    version: 1,
    keys: { team: { pem: publicPem(key) } },
    rules: [
      { name: 'r', signatures: { by: ['team'] }, require: [{ predicate: 'server' }, { predicate: 'provenance' }] },
    ],
  });
  const policy = await parsePolicy(text, 'policy.yaml', async () => '');
  const verdictOf = async (at: string, by: Policy): Promise<Assessment> =>
    assess(by, await gather(await openLayout(at), image.index, { layers: true, platforms: 'all' }), NOW);
  const wanted = await verdictOf(original, policy);
  if (wanted.verdict.verdict !== 'pass') throw new Error('the image as it was made is not accepted');
  const copies = new Map<number, Promise<string>>();
  const copyFor = (lane: number): Promise<string> => {
    const copy = join(folder, `copy-${lane}`);
    const made = copies.get(lane) ?? cp(original, copy, { recursive: true }).then(() => copy);
    copies.set(lane, made);
    return made;
  };
  const places: (readonly [string, number])[] = [];
  for (const entry of await readdir(original, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    const { length } = await readFile(file);
    for (let offset = 0; offset < length; offset += 1) places.push([file.slice(original.length + 1), offset]);
  }
  const documents = [image.index, ...image.platforms, ...image.configs, ...image.layers];
  return {
    image: new Set(documents.map(({ digest }) => join('blobs', 'sha256', digest.slice(7)))),
    places,
    addressed: (file) => file.startsWith(join('blobs', 'sha256')),
    async change(file, offset, bits, lane = 0) {
      const copy = await copyFor(lane);
      const bytes = await readFile(join(original, file));
      const changed = Buffer.from(bytes);
      changed[offset] = (changed[offset] ?? 0) ^ bits;
      await writeFile(join(copy, file), changed);
      try {
        const found = await verdictOf(copy, policy);
        if (found.verdict.verdict === 'fail') return { file, offset, result: 'refused' };
        // Where the index has lost a statement each platform's own stands in for it, and says the same.
        const same =
          found.verdict.subject === wanted.verdict.subject &&
          found.offers.length > 0 &&
          found.offers.every((offer) => isDeepStrictEqual(offer, SERVER));
        return { file, offset, result: same ? 'same' : 'HOLE' };
      } catch (error) {
        return isFault(error)
          ? { file, offset, result: 'fault', detail: error.code }
          : { file, offset, result: 'CRASH', detail: String(error) };
      } finally {
        await rm(join(copy, file), { force: true });
        await writeFile(join(copy, file), bytes);
      }
    },
    end: () => rm(folder, { recursive: true, force: true }),
  };
}
