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

/** @param path of a member, below `usr` where the merge of `/usr` moves it */
export function isSelected(packageName: string, path: string): boolean {
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
