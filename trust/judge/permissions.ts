import { matches } from '../policy/pattern.ts';
import type { Permissions } from '../predicate/server.ts';

/** What of `declared` goes beyond `widest`, a phrase for each; empty where nothing does. */
export function beyond(declared: Permissions, widest: Permissions): readonly string[] {
  return [...network(declared, widest), ...volumes(declared, widest), ...environment(declared, widest)];
}

function network({ network: declared }: Permissions, { network: widest }: Permissions): readonly string[] {
  if (declared === 'none' || widest === 'all') return [];
  if (declared === 'all') return ['network all'];
  const allowed = widest === 'none' ? [] : widest;
  return declared
    .filter((one) => !allowed.some((pattern) => covers(withPort(pattern), withPort(one))))
    .map((one) => `network ${one}`);
}

function withPort(destination: string): string {
  return (/:[0-9*]+$/.test(destination) ? destination : `${destination}:443`).toLowerCase();
}

/** `*.example.com` covers every name below it, and itself; a name covers itself. */
function covers(pattern: string, destination: string): boolean {
  if (pattern === destination) return true;
  return pattern.startsWith('*.') && destination.endsWith(pattern.slice(1)) && destination.length > pattern.length - 1;
}

function volumes({ volumes: declared }: Permissions, { volumes: widest }: Permissions): readonly string[] {
  return declared
    .filter(({ path, mode }) => {
      const within = widest.some((one) => isBelow(path, one.path) && (mode === 'ro' || one.mode === 'rw'));
      return !within;
    })
    .map(({ path, mode }) => `volume ${path}:${mode}`);
}

function isBelow(path: string, folder: string): boolean {
  const segments = path.split('/');
  // `/data/../etc` begins with `/data/` and is not below it.
  if (segments.includes('..') || segments.includes('.')) return false;
  const parent = folder.endsWith('/') ? folder : `${folder}/`;
  return path === folder || path.startsWith(parent);
}

function environment({ environment: declared }: Permissions, { environment: widest }: Permissions): readonly string[] {
  return declared
    .filter((name) => !widest.some((pattern) => matches(pattern, name)))
    .map((name) => `environment ${name}`);
}
