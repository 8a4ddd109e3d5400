import { Command } from 'commander';
import { deployComposeCommand } from './deploy-compose.ts';
import { kubernetesCommand } from './deploy-kubernetes.ts';
import { deploySystemdCommand } from './deploy-systemd.ts';

/** Each place that servers can be deployed to is a file of its own, `deploy-<place>.ts`; nothing here knows what they write. */
export function deployCommand(): Command {
  return new Command('deploy')
    .summary('write what it takes to run the gateway elsewhere')
    .description(
      'Writes the files with which a machine or a cluster starts the gateway and its verified servers. Nothing is started by it.',
    )
    .addCommand(deploySystemdCommand())
    .addCommand(deployComposeCommand())
    .addCommand(kubernetesCommand());
}
