import { expect, test } from 'vitest';
import { atTurnsEnd, whenTurnEnds } from '../../gateway/turn.ts';

test('what the end of a turn hands on goes out in that turn, and what it puts off comes in the next', async () => {
  const order: string[] = [];
  await new Promise<void>((resolve) => {
    atTurnsEnd(() => {
      order.push('end');
      whenTurnEnds(() => order.push('handed on'));
      atTurnsEnd(() => {
        order.push('next turn');
        resolve();
      });
    });
    whenTurnEnds(() => order.push('same turn'));
  });
  expect(order).toEqual(['end', 'handed on', 'same turn', 'next turn']);
});
