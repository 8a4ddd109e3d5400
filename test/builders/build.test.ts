import { describe, expect, test } from 'vitest';
import { bytecodeLayer, bytecodeUnavailable } from '../../builders/bytecode/index.ts';
import { type BuildEnvironment, build, type LayerOutput, type Lock } from '../../builders/index.ts';
import { sha256 } from '../../digest/index.ts';
import { lock } from './sample-lock.ts';

const PLATFORM = 'linux/amd64';
const output: LayerOutput = { diffId: sha256('tar'), digest: sha256('gzip'), size: 4 };

/** A lock whose last layer is byte-code that was made somewhere else. */
function withBytecode(known?: LayerOutput): Lock {
  const layers = lock.platforms[PLATFORM]!.layers;
  const bytecode = { ...bytecodeLayer('server'), ...(known ? { output: known } : {}) };
  return { ...lock, platforms: { [PLATFORM]: { layers: [...layers, bytecode] } } };
}

function outside(held: readonly string[]): BuildEnvironment & { readonly ingested: number[] } {
  const ingested: number[] = [];
  return {
    ingested,
    async *bake(layer) {
      if (layer.transform.startsWith('python-bytecode/')) throw bytecodeUnavailable('it has no interpreter');
      yield { type: 'file', path: `${layer.name}.txt`, size: 1, content: Buffer.from('x') };
    },
    async ingest(bytes) {
      const parts: Buffer[] = [];
      for await (const part of bytes) parts.push(Buffer.from(part));
      const all = Buffer.concat(parts);
      ingested.push(all.length);
      return { digest: sha256(all), size: all.length };
    },
    has: async ({ digest }) => held.includes(digest),
    recall: undefined,
    remember: async () => undefined,
    base: async () => undefined,
  };
}

describe('a machine that can not compile byte-code', () => {
  test('takes the layer that is in its store, where it is the one of the lock', async () => {
    const machine = outside([output.digest]);
    const built = await build(withBytecode(output), [PLATFORM], machine);
    expect(built.lock.platforms[PLATFORM]?.layers.at(-1)?.output).toEqual(output);
    expect(built.layers.at(-1)).toMatchObject({ ...output, cached: true });
    expect(machine.ingested).toHaveLength(2);
  });

  test.each([
    ['the layer is not here', withBytecode(output), []],
    ['the lock was never built', withBytecode(), [output.digest]],
  ] as const)('says so where %s, and never makes another image', async (_, wanted, held) => {
    await expect(build(wanted, [PLATFORM], outside(held))).rejects.toMatchObject({ code: 'bytecode-unavailable' });
  });
});
