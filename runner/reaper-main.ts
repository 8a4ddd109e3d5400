import { isFault } from '../errors/index.ts';
import { serveReaper } from './reaping.ts';

// Started by `reaper.ts` with the socket and the idle time in milliseconds; nobody sees what it prints.
const [socket, idle] = process.argv.slice(2);
for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
try {
  await serveReaper({ socket: socket ?? '', idle: Number(idle) });
} catch (error) {
  // Another one was faster: that is how two that start at once become one.
  if (!isFault(error, 'busy')) throw error;
}
// A reaper that has lost its name must not close its server: closing would remove the name that another has taken.
process.exit(0);
