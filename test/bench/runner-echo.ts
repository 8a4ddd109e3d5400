import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openLayout } from '../../registry/index.ts';
import { programEntries, putImage, putLayer, textEntry } from '../fakes/docker-image.ts';

/** The command of a run whose server sends back what it gets, by the same interpreter as everything else here. */
export async function echoRun(folder: string, host: string): Promise<string[]> {
  const path = join(folder, 'echo-store');
  const store = await openLayout(path);
  const node = await putLayer(store, await programEntries(process.execPath, 'usr/local/bin/node'));
  const app = await putLayer(store, [textEntry('app/echo.mjs', 'process.stdin.pipe(process.stdout);\n')]);
  const image = await putImage(store, [node, app], {
    entrypoint: ['/usr/local/bin/node', '/app/echo.mjs'],
    env: ['PATH=/usr/local/bin', 'HOME=/home/nonroot'],
  });
  const main = fileURLToPath(new URL('../e2e/runner-process.ts', import.meta.url));
  const config = { host, store: path, state: join(folder, 'echo-state'), image };
  return [process.execPath, '--no-warnings', main, JSON.stringify(config)];
}
