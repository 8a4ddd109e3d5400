import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { projectFiles, root } from './e2e/harness/tree.ts';

/** Put together from pieces, or this file would itself hold what it looks for. */
const host = (...labels: readonly string[]) => labels.join('\\.');

const REGISTRY_HOSTS: readonly RegExp[] = [
  RegExp(host('npmjs', '(?:org|com)'), 'i'),
  RegExp(host('registry', 'yarnpkg', 'com'), 'i'),
  RegExp(host('npmmirror', 'com'), 'i'),
  // Predicate types name the documentation's host, which serves no package.
  RegExp(`(?<!docs\\.)\\b${host('pypi', 'org')}`, 'i'),
  RegExp(host('pythonhosted', 'org'), 'i'),
  RegExp(host('(?:deb|security|snapshot|archive|ports|cdn-fastly|ftp|ftp\\.[a-z]{2})', 'debian', 'org'), 'i'),
  RegExp(host('(?:archive|ports|security)', 'ubuntu', 'com'), 'i'),
  // Debian's package of the same name stands alone, never in an address.
  RegExp(`(?:[/@'"\`.]${host('docker', 'io')}|${host('docker', 'io')}[/:'"\`])`, 'i'),
  RegExp(host('hub', 'docker', 'com'), 'i'),
  RegExp(host('(?:ghcr|gcr|quay)', 'io'), 'i'),
  RegExp(host('mcr', 'microsoft', 'com'), 'i'),
  RegExp(host('(?:proxy|sum)', 'golang', 'org'), 'i'),
  RegExp(host('crates', 'io'), 'i'),
];

/** What this machine is configured with: a private mirror's name must not slip in from a recording or a lock. */
function configuredHosts(): readonly string[] {
  const urls = [
    'PIP_INDEX_URL',
    'PIP_EXTRA_INDEX_URL',
    'UV_DEFAULT_INDEX',
    'UV_INDEX_URL',
    'npm_config_registry',
    'GOPROXY',
  ]
    .map((name) => process.env[name] ?? '')
    .concat(aptSources());
  const hosts = urls.flatMap((text) =>
    [...text.matchAll(/https?:\/\/(?:[^@/\s]*@)?([^/:\s,|]+)/g)].map((m) => m[1] ?? ''),
  );
  return [...new Set(hosts)].filter((name) => name.includes('.') && !/^(127\.|localhost)/.test(name));
}

function aptSources(): readonly string[] {
  const folder = '/etc/apt/sources.list.d';
  const read = (path: string) => {
    try {
      return readFileSync(path, 'utf8').replace(/^#.*$/gm, '');
    } catch {
      return '';
    }
  };
  let names: string[] = [];
  try {
    names = readdirSync(folder);
  } catch {
    // Not a Debian.
  }
  return [read('/etc/apt/sources.list'), ...names.map((name) => read(join(folder, name)))];
}

const MACHINE_PATHS: readonly RegExp[] = [
  RegExp(`(?:^|[\\s"'\`=(:,])/${'work'}/`, 'm'),
  RegExp(`(?:^|[\\s"'\`=(:,])/${'root'}/`, 'm'),
  RegExp(`/${'Users'}/[a-z]`),
];

const SECRETS: readonly RegExp[] = [
  /-----BEGIN [A-Z ]*PRIVATE KEY-----(?:\\n|\r?\n)\s*[A-Za-z0-9+/=]{32}/,
  /\bnpm_[A-Za-z0-9]{36}\b/,
  /\bgh[pousr]_[A-Za-z0-9]{36}\b/,
  /\bpypi-AgE[A-Za-z0-9_-]{50}/,
  /\bAKIA[0-9A-Z]{16}\b/,
];

function hits(patterns: readonly RegExp[]): readonly string[] {
  const found: string[] = [];
  for (const file of projectFiles()) {
    const text = `${file}\n${readFileSync(join(root, file), 'latin1')}`;
    for (const pattern of patterns) {
      const match = pattern.exec(text);
      if (match) found.push(`${file}: ${match[0].slice(0, 60)}`);
    }
  }
  return found;
}

describe('what never stands in the tree', () => {
  test('no package registry’s host', () => {
    expect(hits(REGISTRY_HOSTS)).toEqual([]);
  });

  test('no host this machine takes packages from', () => {
    const names = configuredHosts().map((name) => RegExp(name.replaceAll('.', '\\.'), 'i'));
    expect(hits(names)).toEqual([]);
  });

  test('no path of a machine', () => {
    expect(hits(MACHINE_PATHS)).toEqual([]);
  });

  test('no private key and no token', () => {
    expect(hits(SECRETS)).toEqual([]);
  });

  test.each([
    ['https://registry.', 'npmjs', '.org/zod'],
    ['"https://', 'pypi', '.org/simple"'],
    ['https://files.', 'pythonhosted', '.org/packages/x.whl'],
    ['http://deb.', 'debian', '.org/debian'],
    ['http://ftp.de.', 'debian', '.org/debian'],
    ['FROM docker', '.io/', 'library/node'],
    ["'docker", '.io', "'"],
  ])('%s%s%s is found', (...pieces) => {
    expect(REGISTRY_HOSTS.some((pattern) => pattern.test(pieces.join('')))).toBe(true);
  });

  test.each([
    'apt-get install docker.io runc',
    'https://docs.pypi.org/attestations/publish/v1',
    'ftpmaster@debian.org',
    'https://www.debian.org/',
  ])('%s is no registry', (text) => {
    expect(REGISTRY_HOSTS.some((pattern) => pattern.test(text))).toBe(false);
  });

  test('a private key is found in a file and in a string', () => {
    const body = 'A'.repeat(64);
    for (const newline of ['\n', '\\n']) {
      const pem = `-----BEGIN ENCRYPTED ${'PRIVATE'} KEY-----${newline}${body}`;
      expect(SECRETS.some((pattern) => pattern.test(pem))).toBe(true);
    }
  });
});
