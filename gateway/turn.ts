let ending = false;

/**
 * Runs a task when all that this turn of the event loop brought has come in. What it hands on with `whenTurnEnds` goes out in the same turn, together: with
 * a turn more, half of it would wait and the rest be on its way, so that what could be one write becomes many.
 */
export function atTurnsEnd(task: () => void): void {
  setImmediate(() => {
    ending = true;
    try {
      task();
    } finally {
      ending = false;
    }
  });
}

/** Runs a task when this turn of the event loop ends. */
export function whenTurnEnds(task: () => void): void {
  if (ending) process.nextTick(task);
  else setImmediate(task);
}
