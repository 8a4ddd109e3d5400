import type { Entry } from '../entry.ts';

/** The files that maintainer scripts would have made, written by hand. All are the same for every base. */
const FILES: Readonly<Record<string, string>> = {
  'etc/group': 'root:x:0:\nnogroup:x:65534:\nnonroot:x:65532:\n',
  'etc/nsswitch.conf':
    'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\nethers: files\nrpc: files\n',
  'etc/passwd':
    'root:x:0:0:root:/root:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/usr/sbin/nologin\n',
};

/** Absent packages leave their links out: a link that leads nowhere looks like a broken image. */
const LINKS: readonly { readonly path: string; readonly target: string; readonly needs?: string }[] = [
  { path: 'etc/localtime', target: '/usr/share/zoneinfo/Etc/UTC', needs: 'tzdata' },
  { path: 'usr/bin/python3', target: 'python3.13', needs: 'python3.13-minimal' },
  // Where OpenSSL looks when nothing tells it otherwise.
  { path: 'usr/lib/ssl/cert.pem', target: '/etc/ssl/certs/ca-certificates.crt', needs: 'ca-certificates' },
  { path: 'usr/lib/ssl/certs', target: '/etc/ssl/certs', needs: 'ca-certificates' },
  { path: 'var/lock', target: '/run/lock' },
  { path: 'var/run', target: '/run' },
];

const TIMEZONE = 'etc/timezone';

/** @param packages the names of all packages of the base */
export function* systemEntries(packages: ReadonlySet<string>): Generator<Entry> {
  for (const [path, text] of Object.entries(FILES)) yield textFile(path, text);
  if (packages.has('tzdata')) yield textFile(TIMEZONE, 'Etc/UTC\n');
  for (const { path, target, needs } of LINKS) {
    if (needs === undefined || packages.has(needs)) yield { type: 'symlink', path, target };
  }
  yield { type: 'directory', path: 'home/nonroot', mode: 0o700, uid: 65532, gid: 65532 };
}

/** All certificates in one file, in byte order of their paths: what update-ca-certificates would write. */
export function certificateBundle(certificates: ReadonlyMap<string, string>): Entry {
  const paths = [...certificates.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const text = paths.map((path) => `${certificates.get(path)!.trimEnd()}\n`).join('');
  return textFile('etc/ssl/certs/ca-certificates.crt', text);
}

/** Replaced by links in every base: base-files has them as folders, for systems that are older than `/run`. */
export function isReplaced(path: string): boolean {
  return path === 'var/run' || path === 'var/lock';
}

export function textFile(path: string, text: string): Entry {
  const content = Buffer.from(text, 'utf8');
  return { type: 'file', path, size: content.length, content };
}
