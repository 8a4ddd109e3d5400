import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Issued {
  readonly certificate: string;
  readonly key: string;
}

export interface Authority {
  /** Its own certificate, in PEM. */
  readonly ca: string;
  /** @param names DNS names and IP addresses */
  issue(names: readonly string[]): Issued;
}

/** A certificate authority of one test, made with openssl; its key goes with the test's cleanup. */
export function makeAuthority(): Authority & Disposable {
  const folder = mkdtempSync(join(tmpdir(), 'authority-'));
  const at = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.crt', '-days', '30', '-subj', '/CN=test authority');
  let serial = 1;
  return {
    ca: readFileSync(at('ca.crt'), 'utf8'),
    issue: (names) => {
      const id = `leaf-${serial++}`;
      const alternatives = names.map((name) => `${/^[\d.]+$|:/.test(name) ? 'IP' : 'DNS'}:${name}`).join(',');
      writeFileSync(at('ext'), `subjectAltName=${alternatives}\n`);
      openssl('req', ...key, '-keyout', `${id}.key`, '-out', `${id}.csr`, '-subj', `/CN=${id}`);
      openssl(
        'x509',
        '-req',
        '-in',
        `${id}.csr`,
        '-CA',
        'ca.crt',
        '-CAkey',
        'ca.key',
        '-set_serial',
        String(serial),
        '-extfile',
        'ext',
        '-out',
        `${id}.crt`,
        '-days',
        '30',
      );
      return { certificate: readFileSync(at(`${id}.crt`), 'utf8'), key: readFileSync(at(`${id}.key`), 'utf8') };
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}
