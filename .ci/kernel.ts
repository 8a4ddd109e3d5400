import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import wabt from 'wabt';

// Makes kernel.wasm of kernel.wat. What is committed is what a test makes again.
const folder = new URL('../vetting/tools/encoder/', import.meta.url);

export async function assembled(): Promise<Uint8Array> {
  const { parseWat } = await wabt();
  const module = parseWat('kernel.wat', readFileSync(new URL('kernel.wat', folder), 'utf8'), { simd: true });
  try {
    module.validate();
    return module.toBinary({ write_debug_names: false }).buffer;
  } finally {
    module.destroy();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(new URL('kernel.wasm', folder), await assembled());
