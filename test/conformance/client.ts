/**
 * The client under test of sigstore-conformance (its docs/cli_protocol.md):
 * `verify-bundle --bundle FILE (--certificate-identity I --certificate-oidc-issuer U | --key FILE) [--trusted-root FILE] FILE|sha256:…`.
 * The exit code is the verdict.
 */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { isFault } from '../../errors/index.ts';
import { verifyFile } from './verify.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    bundle: { type: 'string' },
    'certificate-identity': { type: 'string' },
    'certificate-oidc-issuer': { type: 'string' },
    key: { type: 'string' },
    'trusted-root': { type: 'string' },
    staging: { type: 'boolean' },
  },
});

const [command, artifact] = positionals;
if (command !== 'verify-bundle' || !values.bundle || !artifact || values.staging) {
  process.stderr.write('verify-bundle is what is implemented, against the public instance or a trusted root\n');
  process.exit(2);
}
try {
  const reason = await verifyFile({
    bundle: await readFile(values.bundle),
    artifact,
    identity: values['certificate-identity'],
    issuer: values['certificate-oidc-issuer'],
    key: values.key === undefined ? undefined : await readFile(values.key, 'utf8'),
    root: values['trusted-root'] === undefined ? undefined : await readFile(values['trusted-root'], 'utf8'),
  });
  if (reason !== undefined) process.stderr.write(`${reason}\n`);
  process.exitCode = reason === undefined ? 0 : 1;
} catch (error) {
  process.stderr.write(`${isFault(error) ? error.message : error}\n`);
  process.exitCode = 1;
}
