import type { Artifact } from './lock.ts';

/** Questions to an index at the same time. */
const PARALLEL = 12;

/** What `ask` says of each file, several at a time: a tree has a hundred packages, and each answer takes a round trip. @throws the first failure */
export async function eachAsked<File extends Artifact, Answer>(
  files: readonly File[],
  ask: (file: File) => Promise<Answer>,
): Promise<Map<File, Answer>> {
  const answers = new Map<File, Answer>();
  const queue = [...files];
  const worker = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      try {
        answers.set(next, await ask(next));
      } catch (error) {
        // Nobody waits for the other answers any more.
        queue.length = 0;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, queue.length) }, worker));
  return answers;
}
