import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, realpathSync, symlinkSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

export const DOCKER_BASE = 'bench-base';

/**
 * What `docker build` starts from: this machine's own node with npm, and python3 with pip, since no public image can be pulled. Names it `DOCKER_BASE`.
 * @param folder for what is needed meanwhile
 */
export function dockerBase(env: NodeJS.ProcessEnv, folder: string): void {
  const command = (name: string) =>
    execFileSync('sh', ['-c', `PATH=/usr/local/bin:/usr/bin:/bin; command -v ${name}`])
      .toString()
      .trim();
  const [node, npm] = [realpathSync(command('node')), realpathSync(command('npm'))];
  const modules = npm.slice(0, npm.lastIndexOf('/npm/bin/'));
  const python = existsSync('/usr/bin/python3') ? realpathSync('/usr/bin/python3') : undefined;
  const wanted = [
    ...['/bin', '/lib', '/lib64', '/usr/bin/env', '/usr/bin/sh', '/usr/bin/dash'],
    ...['/usr/lib/x86_64-linux-gnu', '/usr/lib64', '/usr/share/ca-certificates'],
    ...['/etc/ssl', '/etc/passwd', '/etc/group', '/etc/nsswitch.conf', '/usr/etc/npmrc', '/etc/npmrc', '/etc/pip.conf'],
    ...[node, `${modules}/npm`, join(homedir(), '.npmrc')],
    ...(python ? ['/usr/bin/python3', python, '/usr/share/python-wheels', ...pythonFolders()] : []),
  ].filter(existsSync);
  // Where the image's PATH finds them, wherever this machine keeps them.
  const stage = join(folder, 'stage');
  mkdirSync(join(stage, 'opt', 'bin'), { recursive: true });
  symlinkSync(node, join(stage, 'opt', 'bin', 'node'));
  symlinkSync(npm, join(stage, 'opt', 'bin', 'npm'));
  const variables = {
    PATH: '/opt/bin:/usr/local/bin:/usr/bin:/bin',
    HOME: homedir(),
    NODE_EXTRA_CA_CERTS: '/etc/ssl/certs/ca-certificates.crt',
    // How this machine's pip reaches its index.
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => /^PIP_(?!FIND_LINKS)/.test(name))),
  };
  const changes = Object.entries(variables).flatMap(([name, value]) => ['-c', `ENV ${name}=${value}`]);
  const script = `tar c --ignore-failed-read "$@" -C '${stage}' opt 2>/dev/null >'${folder}/base.tar'`;
  execFileSync('sh', ['-c', script, 'sh', ...wanted]);
  execFileSync('docker', ['import', ...changes, join(folder, 'base.tar'), DOCKER_BASE], { env, stdio: 'pipe' });
}

function pythonFolders(): readonly string[] {
  return readdirSync('/usr/lib')
    .filter((name) => /^python3(?:\.\d+)?$/.test(name))
    .map((name) => join('/usr/lib', name));
}
