export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** Whose password is for which host; the empty host is netrc's `default`. */
export type Netrc = ReadonlyMap<string, Credentials>;

/** Reads a netrc file: `machine`, `default`, `login`, `password`, `account`, `macdef`, comments and quoted words. The first entry of a host counts. */
export function parseNetrc(text: string): Netrc {
  const entries = new Map<string, Credentials>();
  // A macro is everything up to an empty line; it may hold words that look like entries.
  const body = text.replace(/(^|\s)macdef[\s\S]*?(?:\r?\n[ \t]*\r?\n|$)/g, '$1').replace(/^[ \t]*#.*$/gm, '');
  const words = [...body.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map((match) =>
    match[1] !== undefined ? match[1].replace(/\\(.)/g, '$1') : (match[2] ?? ''),
  );
  let host: string | undefined;
  let username = '';
  let password = '';
  const keep = () => {
    if (host !== undefined && !entries.has(host) && (username !== '' || password !== '')) {
      entries.set(host, { username, password });
    }
    host = undefined;
    username = '';
    password = '';
  };
  for (let at = 0; at < words.length; at += 1) {
    switch (words[at]) {
      case 'machine':
        keep();
        at += 1;
        host = words[at]?.toLowerCase();
        break;
      case 'default':
        keep();
        host = '';
        break;
      case 'login':
        at += 1;
        username = words[at] ?? '';
        break;
      case 'password':
        at += 1;
        password = words[at] ?? '';
        break;
      case 'account':
        at += 1;
        break;
      default:
    }
  }
  keep();
  return entries;
}

export function credentialsIn(netrc: Netrc, host: string): Credentials | undefined {
  return netrc.get(host.toLowerCase()) ?? netrc.get('');
}
