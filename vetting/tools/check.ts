import type { Known } from '../audit.ts';
import { type Finding, finding, printed } from '../finding.ts';
import { examine } from './poisoning.ts';
import { textsOf } from './texts.ts';

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

/** Every text that a model is shown. */
export function checkTools({ lock, tools }: Pick<Known, 'lock' | 'tools'>): readonly Finding[] {
  if (!tools) return [finding('tools-unknown', lock.name, 'Nobody has listed what it offers')];
  return examineTools(lock.name, tools);
}

export function examineTools(server: string, list: ToolList): readonly Finding[] {
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
  for (const { subject, texts } of items) {
    const result = examine(texts);
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
