import { McpBuildError } from '../errors/index.ts';
import type { DaemonFacts } from './compare.ts';

/**
 * Whether a daemon can build the walls at all, asked before anything is made: it would drop what it can't do, and go on.
 * @returns what the user should know that it can't, and that a server may be started without. @throws McpBuildError `daemon-incapable`
 */
export function capable(facts: DaemonFacts): readonly string[] {
  const lacking = facts.lacking ?? [];
  const rootless = facts.security.includes('rootless');
  if (lacking.length > 0) {
    throw incapable(
      `can not limit ${lacking.join(' and ')}`,
      rootless
        ? 'Have the system delegate the cgroup controllers cpu, memory and pids to your user (Delegate= of systemd’s user@.service).'
        : 'Turn the cgroup controllers cpu, memory and pids on in the kernel’s command line.',
    );
  }
  if (!facts.security.includes('seccomp')) {
    throw incapable('can not filter system calls', 'Use a kernel and a Docker that were built with seccomp.');
  }
  return facts.swapLimit ? [] : ['the kernel counts no swap: the server may use swap beyond its limit of memory'];
}

function incapable(what: string, fix: string): McpBuildError {
  return new McpBuildError({
    code: 'daemon-incapable',
    message: `The Docker daemon ${what}; nothing was started`,
    fix,
    exit: 3,
  });
}
