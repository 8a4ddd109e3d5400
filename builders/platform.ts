import { McpBuildError } from '../errors/index.ts';

/** The platforms an image can be built for, as OCI spells them. */
export const PLATFORMS = ['linux/amd64', 'linux/arm64'] as const;
export type Platform = (typeof PLATFORMS)[number];

export function isPlatform(text: string): text is Platform {
  return (PLATFORMS as readonly string[]).includes(text);
}

/** @throws McpBuildError `platform-unknown` */
export function parsePlatform(text: string): Platform {
  if (isPlatform(text)) return text;
  throw new McpBuildError({
    code: 'platform-unknown',
    message: `"${text}" is not a platform that images are built for`,
    input: text,
    fix: `Use one of ${PLATFORMS.join(', ')}.`,
    exit: 2,
  });
}

/** The platform whose containers this machine runs: on macOS and Windows, Docker's Linux machine of the same processor. */
export function hostPlatform(arch: string = process.arch): Platform {
  return arch === 'arm64' ? 'linux/arm64' : 'linux/amd64';
}

export function architectureOf(platform: Platform): 'amd64' | 'arm64' {
  return platform === 'linux/arm64' ? 'arm64' : 'amd64';
}
