import type { Decision } from './egress.ts';

/** How often a user is told of refusals in one run; a server that tries a thousand names is one that tries a thousand names. */
const MOST = 20;

/** Tells the user what a server tried to reach, each destination once, and after learning what it needs. */
export function reporter(say: (line: string) => void, learn: boolean) {
  const told = new Set<string>();
  const learned = new Set<string>();
  return {
    see({ host, port, allowed, reason, address }: Decision): void {
      const name = `${host}:${port}`;
      if (reason === 'learned') learned.add(name);
      if (allowed || told.has(name) || told.size > MOST) return;
      told.add(name);
      if (told.size > MOST) say('the server was refused more destinations; the log of decisions has them all');
      else say(`the server was refused ${printable(name)}: ${why(reason, name, address)}`);
    },
    end(): void {
      if (!learn) return;
      const list = [...learned].sort();
      say(
        list.length === 0
          ? 'the server reached nothing that it was not given'
          : `the server reached what this would give it: --allow-net ${list.join(',')}`,
      );
    },
  };
}

function why(reason: Decision['reason'], name: string, address: string | undefined): string {
  switch (reason) {
    case 'not-permitted':
      return `allow it with --allow-net ${printable(name)}`;
    case 'internal-address':
      return `it leads to ${address}, an address of this machine or its networks`;
    case 'not-a-name':
      return 'destinations are reached by name, not by address';
    case 'other-name':
      return 'asked for under the connection to another name';
    case 'unresolved':
      return 'no address was found for it';
    case 'unreachable':
      return 'it does not answer';
    case 'no-tunnel':
      return 'https: is passed on within a tunnel (CONNECT) only, which axios asks for since 1.16.1';
    case 'malformed':
      return 'what was asked for is no destination';
    case 'too-many':
      return 'too many connections at once';
    case 'permitted':
    case 'learned':
      return '';
  }
}

/** The server chose the name. */
function printable(text: string): string {
  return text.replace(/[^\x21-\x7e]/g, '?');
}
