import { expect, test } from 'vitest';
import { homeOf } from '../../cli/line/home.ts';
import { lockSource } from '../../cli/line/lock.ts';
import { sha256 } from '../../digest/index.ts';

test('Debian packages are not added to an image that may have them already, and nothing is asked of anyone', async () => {
  const environment = { MCP_BUILD_HOME: '/nonexistent', npm_config_registry: 'http://127.0.0.1:1/' };
  const locking = lockSource(
    { ecosystem: 'npm', name: 'server', range: '' },
    {
      platforms: ['linux/amd64'],
      releaseAge: 0,
      base: { kind: 'image', reference: 'registry.example.test/base', digest: sha256('base') },
      system: ['git'],
      home: homeOf(environment),
      environment,
      workspace: undefined,
      now: new Date(),
    },
  );
  await expect(locking).rejects.toMatchObject({ code: 'system-without-base', input: 'git', exit: 2 });
});
