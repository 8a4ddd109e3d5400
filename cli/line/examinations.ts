import { join } from 'node:path';
import { z } from 'zod';
import { hexOf, sha256 } from '../../digest/index.ts';
import { writeAtomic } from '../../files/index.ts';
import { type Examinations, examinationSchema, examinerName, type ToolList } from '../../vetting/index.ts';
import type { Home } from './home.ts';
import { recalled } from './recall.ts';

/** Examinations of one list of tools, in bytes. */
const LARGEST = 16 * 1024 * 1024;

const kept = z.array(z.tuple([z.string(), examinationSchema]));

/** What was examined of such a list before, by what examines today; empty where nothing was. */
export async function recallExaminations(home: Home, tools: ToolList): Promise<Examinations> {
  return new Map(await recalled(pathOf(home, tools), kept, LARGEST));
}

export async function rememberExaminations(home: Home, tools: ToolList, examinations: Examinations): Promise<void> {
  await writeAtomic(pathOf(home, tools), JSON.stringify([...examinations]));
}

function pathOf(home: Home, tools: ToolList): string {
  return join(home.cache, 'vetting', 'tools', examinerName(), `${hexOf(sha256(JSON.stringify(tools)))}.json`);
}
