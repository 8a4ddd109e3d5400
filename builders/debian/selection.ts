/** What of a package becomes part of the image. Changing it changes images: it belongs to the version of the transform. */

/** Only read by people, or by tools that aren't there. */
const DROPPED = [
  'boot',
  'etc/bash_completion.d',
  'etc/default',
  'etc/dpkg',
  'etc/issue',
  'etc/issue.net',
  'etc/profile.d',
  'etc/skel',
  'etc/update-motd.d',
  'usr/games',
  'usr/include',
  'usr/lib/binfmt.d',
  'usr/lib/valgrind',
  'usr/share/applications',
  'usr/share/apport',
  'usr/share/base-files',
  'usr/share/bash-completion',
  'usr/share/binfmts',
  'usr/share/bug',
  'usr/share/dict',
  'usr/share/doc-base',
  'usr/share/gcc',
  'usr/share/gdb',
  'usr/share/info',
  'usr/share/lintian',
  'usr/share/locale',
  'usr/share/man',
  'usr/share/menu',
  'usr/share/pixmaps',
  'usr/share/zsh',
  'usr/src',
  'var/backups',
  'var/lib/dpkg',
];

/** Left out of what is added to a base, too: of no use without the services or editors they are for. */
export const SYSTEM_DROPPED = [
  'etc/cron.d',
  'etc/cron.daily',
  'etc/cron.monthly',
  'etc/cron.weekly',
  'etc/init.d',
  'etc/logrotate.d',
  'etc/pam.d',
  // Git's servers and second ways in; a server here is a client of repositories.
  'usr/bin/git-shell',
  'usr/bin/scalar',
  'usr/lib/git-core/git-daemon',
  'usr/lib/git-core/git-http-backend',
  'usr/lib/git-core/git-http-push',
  'usr/lib/git-core/git-imap-send',
  'usr/lib/git-core/git-shell',
  'usr/lib/git-core/scalar',
  'usr/lib/systemd',
  'usr/lib/sysusers.d',
  'usr/lib/tmpfiles.d',
  'usr/lib/udev',
  'usr/share/emacs',
  'usr/share/fish',
  'usr/share/git-core/contrib',
  'usr/share/gitweb',
  'usr/share/initramfs-tools',
  'usr/share/vim',
];

/** Of these packages only so much: the rest needs a shell, or a root that can be written. */
const KEPT: Readonly<Record<string, readonly string[]>> = {
  'ca-certificates': ['usr/share/doc'],
  'libc-bin': [
    'etc/gai.conf',
    'etc/ld.so.conf',
    'etc/ld.so.conf.d',
    'usr/lib/locale',
    'usr/sbin/ldconfig',
    'usr/share/doc',
  ],
};

/** Never kept, in whatever folder: 3.3 MB, gzipped, that no server was found to use. */
const UNUSED = [
  // The encodings of glibc's iconv beside Unicode's. Node and Python have tables of their own, and wheels like lxml's carry GNU libiconv.
  /^usr\/lib\/[^/]+\/gconv(?:\/|$)/,
  // The interpreter's own tests, as far as they are compiled.
  /^usr\/lib\/python3\.[0-9]+\/lib-dynload\/(?:_test|_ctypes_test|_xxtest|xxlimited|xxsubtype)[^/]*$/,
];

/** Kept only where one of these packages is beside them. */
const KEPT_FOR: readonly { readonly path: RegExp; readonly packages: readonly string[] }[] = [
  // Started by ctypes.util.find_library.
  { path: /^usr\/sbin\/ldconfig$/, packages: ['python3.13-minimal'] },
];

/**
 * @param path of a member, below `usr` where the merge of `/usr` moves it
 * @param beside the names of all packages of the base
 */
export function isSelected(packageName: string, path: string, beside: ReadonlySet<string>): boolean {
  if (UNUSED.some((one) => one.test(path))) return false;
  if (KEPT_FOR.some((one) => one.path.test(path) && !one.packages.some((name) => beside.has(name)))) return false;
  if (DROPPED.some((folder) => isWithin(path, folder))) return false;
  const kept = KEPT[packageName];
  // The folders on the way to something kept are the tree's to add.
  if (kept && !kept.some((folder) => isWithin(path, folder))) return false;
  // Licences stay, and the links by which packages of one source share them.
  if (isWithin(path, 'usr/share/doc')) return /^usr\/share\/doc(?:\/[^/]+(?:\/copyright)?)?$/.test(path);
  return true;
}

export function isCertificate(packageName: string, path: string): boolean {
  return packageName === 'ca-certificates' && isWithin(path, 'usr/share/ca-certificates') && path.endsWith('.crt');
}

export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}
