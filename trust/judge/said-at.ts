import { z } from 'zod';
import { PREDICATES, type Statement } from '../statement.ts';

const time = z.iso.datetime({ offset: true });
const forms: Readonly<Record<string, z.ZodType<string>>> = {
  [PREDICATES.vulns]: z
    .object({ metadata: z.object({ scanFinishedOn: time }) })
    .transform((p) => p.metadata.scanFinishedOn),
  [PREDICATES.provenance]: z
    .object({
      runDetails: z.object({ metadata: z.object({ finishedOn: time.optional(), startedOn: time.optional() }) }),
    })
    .transform(({ runDetails: { metadata } }) => metadata.finishedOn ?? metadata.startedOn ?? '')
    .pipe(time),
  [PREDICATES.summary]: z.object({ timeVerified: time }).transform((p) => p.timeVerified),
};

/**
 * When a statement was made, as the statement itself says, which its signer signed. A timestamp authority proves that something existed by
 * then, not that it was made then: anyone can have an old signature stamped again.
 */
export function saidAt({ predicateType, predicate }: Statement): Date | undefined {
  const text = forms[predicateType]?.safeParse(predicate).data;
  return text === undefined ? undefined : new Date(text);
}
