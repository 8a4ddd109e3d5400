import { z } from 'zod';
import { SEVERITIES } from '../predicate/vulns.ts';
import { DURATION } from './duration.ts';

const text = z.string().min(1).max(2000);
const pattern = text.describe('A name in which * stands for anything within a segment, and ** for anything.');
const patterns = z.array(pattern).max(1000);
const instant = z.union([z.iso.date(), z.iso.datetime({ offset: true })]);
const duration = z.string().regex(DURATION, 'write a number and one of m, h, d, w, as in 30d');

/** What lock, build, publish and audit are to refuse. Which findings there are is vetting's affair: docs/vetting.md lists them. */
export const vettingSchema = z
  .strictObject({
    refuse: z
      .enum([...SEVERITIES, 'never'])
      .default('high')
      .describe('Findings of this severity and worse are refused.'),
    codes: z
      .record(text, z.enum([...SEVERITIES, 'ignore', 'refuse']))
      .default({})
      .describe(
        'Another severity for a kind of finding; ignore leaves it out, refuse refuses it whatever its severity.',
      ),
    stop: z
      .array(text)
      .max(100)
      .default([])
      .describe(
        'Codes of findings for which `watch` stops what runs, and lets it start no more, where they are refused.',
      ),
    releaseAge: duration.optional().describe('How long every package must have been public; 3d by default.'),
    releaseAgeExcept: patterns.default([]).describe('Packages that may be younger, as in npm:@example/*.'),
    securityFixes: z
      .boolean()
      .default(true)
      .describe('A release that fixes an advisory of the version before it may be younger.'),
    sources: z
      .array(z.strictObject({ names: patterns.min(1), index: text }))
      .max(1000)
      .default([])
      .describe('Which index packages must come from, by its name in the lock; the first that matches decides.'),
    repositories: z
      .record(pattern, text)
      .default({})
      .describe('The repository that a package’s provenance must name, by pattern of npm:<name> or pypi:<name>.'),
    requireProvenance: patterns.default([]).describe('Packages that must have provenance.'),
    licences: z
      .strictObject({ allow: patterns.optional(), deny: patterns.optional() })
      .default({})
      .describe('SPDX identifiers; with allow every other one is refused.'),
    advisoriesAge: duration.optional().describe('How old the advisories may be; 7d by default.'),
    exceptions: z
      .array(
        z.strictObject({
          finding: text.describe('The code of the finding.'),
          subject: pattern.describe('What it is about, as in npm:example@1.2.3.'),
          advisory: text.exactOptional(),
          reason: z.string().min(10, 'say why, in ten characters or more').max(2000),
          expires: instant,
        }),
      )
      .max(1000)
      .default([]),
  })
  .describe('What may not get into an image.');

export type VettingRules = z.infer<typeof vettingSchema>;

/** What holds where a policy says nothing of it. */
export const DEFAULT_VETTING: VettingRules = vettingSchema.parse({});
