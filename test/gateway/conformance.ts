import { fileURLToPath } from 'node:url';
import { processChannel, type Running, runGateway } from './gateway.ts';

const SERVER = fileURLToPath(new URL('../fakes/conformance-server.ts', import.meta.url));

/** A gateway in front of a server that has all that the conformance suite asks for. */
export function conformanceGateway(): Promise<Running> {
  return runGateway({
    servers: { it: {} },
    prepare: () => ({ open: processChannel([process.execPath, '--no-warnings', SERVER]) }),
  });
}
