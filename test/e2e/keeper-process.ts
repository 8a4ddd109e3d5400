// A keeper in a process of its own, as `mcp-build start` is one: what the tests kill.

import { openLayout } from '../../registry/index.ts';
import {
  docker,
  openLog,
  openSession,
  parseEndpoint,
  parsePermissions,
  reaper,
  recordFile,
  serveKeeper,
} from '../../runner/index.ts';

const config = JSON.parse(process.argv[2] ?? '{}');
const store = await openLayout(config.store);
const runtime = docker(parseEndpoint(config.host));
const over = new AbortController();
process.on('SIGTERM', () => over.abort());
const logs = `${config.state}/run/logs`;
await serveKeeper({
  record: { ...config.record, pid: process.pid },
  file: recordFile(config.folder, config.record.name),
  fingerprint: 'the same',
  size: config.size ?? 1,
  restart: { when: 'always' },
  timing: { backOff: 50, longestBackOff: 1_000, ...config.timing },
  environment: config.environment ?? {},
  log: await openLog(logs, `mcp-build-keeper-${config.record.name}`),
  logOf: (container) => openLog(logs, container),
  signal: over.signal,
  async open({ say }) {
    // Where verifying would be: each start is told.
    process.stdout.write('verified\n');
    const session = await openSession({
      runtime,
      store,
      image: config.image,
      server: { name: 'kept', version: '1.0.0' },
      permissions: parsePermissions(config.permissions ?? {}),
      args: [],
      environment: config.environment ?? {},
      reaper: reaper({ folder: `${config.state}/run`, idle: 3_000 }),
      machine: {
        home: '/root',
        state: config.state,
        run: `${config.state}/run`,
        environment: { XDG_RUNTIME_DIR: '' },
        uid: process.getuid?.(),
        gid: process.getgid?.(),
      },
      say,
    });
    return { session, digest: config.image.digest };
  },
});
process.exit(0);
