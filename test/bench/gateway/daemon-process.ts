import { serveDaemon } from '../../../gateway/index.ts';
import { fakeServer } from '../../gateway/gateway.ts';

// A daemon in a process of its own, in front of a fake: what is measured is the hop.
const daemon = await serveDaemon({
  place: { kind: 'path', path: process.argv[2] ?? '' },
  find: async () => ({ open: fakeServer(), most: 8 }),
  say: () => undefined,
});
process.stdout.write('ready\n');
process.once('SIGTERM', () => void daemon.close().then(() => process.exit(0)));
