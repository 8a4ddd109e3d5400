import { sha256 } from '../../digest/index.ts';
import type { Known } from '../audit.ts';
import { type Finding, finding, printed } from '../finding.ts';
import { type Examination, examine } from './poisoning.ts';
import { type Text, textsOf } from './texts.ts';

/** Something that a server offers: a tool, prompt, resource or template. */
export interface ToolItem {
  readonly name: string;
  /** SHA-256 of its canonical definition. */
  readonly digest: string;
  readonly definition: unknown;
}

/** What a server was seen to offer. */
export interface ToolList {
  readonly instructions: string | null;
  readonly tools: readonly ToolItem[];
  readonly prompts: readonly ToolItem[];
  readonly resources: readonly ToolItem[];
  readonly resourceTemplates: readonly ToolItem[];
}

const KINDS = {
  tools: 'tool',
  prompts: 'prompt',
  resources: 'resource',
  resourceTemplates: 'resource template',
} as const;

/** Results by `keyOf` the texts. */
export type Examinations = Map<string, Examination>;

/** Of all that a server offers, together, so that it can't keep an audit busy for hours; the longest of 121 real servers has a third of it. */
const MOST_CHARACTERS = 3_000_000;

/** Every text that a model is shown. */
export function checkTools({
  lock,
  tools,
  examinations,
}: Pick<Known, 'lock' | 'tools' | 'examinations'>): readonly Finding[] {
  if (!tools) return [finding('tools-unknown', lock.name, 'Nobody has listed what it offers')];
  return examineTools(lock.name, tools, examinations);
}

/** @param known what was examined before, which is not examined again; what is examined now is added */
export function examineTools(server: string, list: ToolList, known: Examinations = new Map()): readonly Finding[] {
  const found: Finding[] = [];
  const items = [
    ...(list.instructions === null
      ? []
      : [{ subject: `instructions:${server}`, texts: [{ at: 'instructions', text: list.instructions }] }]),
    ...(Object.keys(KINDS) as (keyof typeof KINDS)[]).flatMap((kind) =>
      list[kind].map(({ name, definition }) => ({
        subject: `${KINDS[kind].replace(' ', '-')}:${server}/${printed(name, 100)}`,
        texts: textsOf(definition),
      })),
    ),
  ];
  let left = MOST_CHARACTERS;
  for (const { subject, texts } of items) {
    const key = keyOf(texts);
    let result = known.get(key);
    if (result === undefined) {
      left -= texts.reduce((sum, { text }) => sum + text.length, 0);
      if (left < 0) {
        found.push(
          finding(
            'unreadable',
            subject,
            `Its text was not weighed: all of them have over ${MOST_CHARACTERS} characters`,
          ),
        );
        continue;
      }
      result = examine(texts);
      known.set(key, result);
    }
    if (!result.poisoned) continue;
    found.push(
      finding(
        'tool-poisoning',
        subject,
        `Its text reads like instructions to a model: ${result.signals.map(({ title }) => title).join(', ')}`,
        {
          // A single weak sign is for a person to look at; docs/vetting.md says how often it errs.
          ...(result.certain ? {} : { severity: 'medium' as const }),
          evidence: result.signals.slice(0, 10).map(({ at, excerpt }) => `${at}: ${printed(excerpt)}`),
        },
      ),
    );
  }
  return found;
}

function keyOf(texts: readonly Text[]): string {
  return sha256(JSON.stringify(texts.map(({ at, text }) => [at, text])));
}

/** What the list has that the earlier one hadn't, and the other way round: a change after a review is a change that nobody reviewed. */
export function checkDrift({
  lock,
  tools,
  earlierTools,
}: Pick<Known, 'lock' | 'tools' | 'earlierTools'>): readonly Finding[] {
  if (!tools || !earlierTools) return [];
  const found: Finding[] = [];
  if (tools.instructions !== earlierTools.instructions) {
    found.push(finding('tools-drift', `instructions:${lock.name}`, 'Its instructions changed'));
  }
  for (const kind of Object.keys(KINDS) as (keyof typeof KINDS)[]) {
    // A server that was started twice may have told its tools in two ways, as where a default is a set: all that was seen is known.
    const before = new Map<string, Set<string>>();
    for (const { name, digest } of earlierTools[kind]) before.set(name, (before.get(name) ?? new Set()).add(digest));
    const now = new Map<string, Set<string>>();
    for (const { name, digest } of tools[kind]) now.set(name, (now.get(name) ?? new Set()).add(digest));
    for (const [name, digests] of now) {
      const subject = `${KINDS[kind].replace(' ', '-')}:${lock.name}/${printed(name, 100)}`;
      const old = before.get(name);
      before.delete(name);
      if (old === undefined) found.push(finding('tools-drift', subject, `The ${KINDS[kind]} is new`, { isNew: true }));
      else if ([...digests].some((digest) => !old.has(digest)))
        found.push(finding('tools-drift', subject, `The ${KINDS[kind]} is defined otherwise than before`));
    }
    for (const name of before.keys()) {
      found.push(
        finding(
          'tools-drift',
          `${KINDS[kind].replace(' ', '-')}:${lock.name}/${printed(name, 100)}`,
          `The ${KINDS[kind]} is gone`,
          { severity: 'low' },
        ),
      );
    }
  }
  return found;
}
