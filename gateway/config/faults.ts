import { McpBuildError } from '../../errors/index.ts';

/** @param path where in the file, as `mcpServers.github.args` */
export function configInvalid(file: string, path: string, reason: string, fix?: string): McpBuildError {
  return new McpBuildError({
    code: 'config-invalid',
    message: `${file}: ${path === '' ? 'the file' : path} ${reason}`,
    input: path === '' ? file : path,
    fix: fix ?? 'Correct it; docs/gateway.md lists every field.',
    exit: 2,
  });
}
