import { expect, test } from 'vitest';
import { BRIDGE_ENTRYPOINT } from '../../builders/bridge/index.ts';
import { readImage } from '../../runner/index.ts';
import { environmentLaunch } from '../../runner/private.ts';
import { putImage, putLayer, textEntry } from '../fakes/docker-image.ts';
import { fixture } from './fixture.ts';

const SERVER = ['/usr/local/bin/node', '/app/server.js', '--fixed'];

async function imageWith(entrypoint: readonly string[]) {
  const own = await fixture();
  try {
    const layer = await putLayer(own.store, [textEntry('server', 'server')]);
    return await readImage(own.store, await putImage(own.store, [layer], { entrypoint: [...entrypoint] }));
  } finally {
    await own.end();
  }
}

test('an image that serves HTTP is started without its bridge: a run speaks to the server itself', async () => {
  const image = await imageWith([...BRIDGE_ENTRYPOINT, ...SERVER]);
  expect(image).toMatchObject({ entrypoint: SERVER, bridged: true });
  expect(environmentLaunch(image, ['--given'], {}).launch).toEqual({ entrypoint: SERVER, args: ['--given'] });
  const { launch } = environmentLaunch(image, [], { TOKEN: 'x' });
  expect(launch.entrypoint).not.toContain(BRIDGE_ENTRYPOINT[1]);
  expect(launch.entrypoint?.slice(-2)).toEqual(SERVER.slice(1));
});

test('any other image is started as it says', async () => {
  const image = await imageWith(SERVER);
  expect(image.entrypoint).toEqual(SERVER);
  expect(image).not.toHaveProperty('bridged');
  expect(environmentLaunch(image, [], {}).launch).not.toHaveProperty('entrypoint');
});
