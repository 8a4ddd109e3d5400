export { type CaseResult, type PolicyCase, testPolicy } from './cases.ts';
export { type Assessment, assess, explain, judge } from './judge.ts';
export { beyond } from './permissions.ts';
export { checkRollback, checkSource, sourceName } from './server.ts';
export { compareVersions } from './version.ts';
