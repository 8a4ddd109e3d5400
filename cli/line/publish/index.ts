export type { PublishSettings } from './job.ts';
export { type Outcome, publishServers } from './many.ts';
export { type PolicyOptions, publishPolicy } from './policy.ts';
export type { Published, Step } from './publish.ts';
export { parseShard, type Shard } from './shard.ts';
export { exitCodeOf, jsonOf, markdownOf, rowsOf, wordOf } from './summary.ts';
