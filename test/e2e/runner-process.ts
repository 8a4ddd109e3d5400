// One run in a process of its own, as `mcp-build run` is one: what the tests kill.

import { isFault } from '../../errors/index.ts';
import { openLayout } from '../../registry/index.ts';
import {
  docker,
  parseEndpoint,
  parsePermissions,
  pinsOf,
  processSignals,
  reaper,
  runContainer,
} from '../../runner/index.ts';

const config = JSON.parse(process.argv[2] ?? '{}');
const store = await openLayout(config.store);
try {
  const { exitCode } = await runContainer({
    runtime: docker(parseEndpoint(config.host, process.env)),
    store,
    image: config.image,
    server: { name: config.name ?? 'fixture', version: '1.0.0' },
    permissions: parsePermissions(config.permissions ?? {}),
    ...(config.limits ? { limits: config.limits } : {}),
    ...(config.inputGrace ? { inputGrace: config.inputGrace } : {}),
    args: config.args ?? [],
    environment: config.environment ?? {},
    files: config.files ?? [],
    ...(config.signed ? { pins: pinsOf([config.signed], config.drift) } : {}),
    reaper: reaper({ folder: `${config.state}/run`, idle: 3_000 }),
    machine: {
      home: config.home ?? '/root',
      state: config.state,
      run: `${config.state}/run`,
      environment: process.env,
      uid: process.getuid?.(),
      gid: process.getgid?.(),
    },
    say: (line) => process.stderr.write(`mcp-build: ${line}\n`),
    streams: process,
    signals: processSignals,
  });
  if (config.report) process.stderr.write(`peak ${process.resourceUsage().maxRSS}\n`);
  process.exitCode = exitCode;
} catch (error) {
  if (!isFault(error)) throw error;
  process.stderr.write(`mcp-build: ${error.message} [${error.code}]\n`);
  process.exitCode = error.exit;
}
