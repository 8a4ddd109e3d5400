import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** How this very mcp-build is started by another program: absolute words, as nobody's PATH can be counted on. */
export function mainProgram(): { readonly command: string; readonly args: readonly string[] } {
  const places = ['../main.ts', '../main.js'].map((place) => fileURLToPath(new URL(place, import.meta.url)));
  return { command: process.execPath, args: [places.find((place) => existsSync(place)) ?? 'mcp-build'] };
}
