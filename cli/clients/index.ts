export { CLIENTS, type Client, exportInto, fileFor, isClient, type Started } from './export.ts';
export { type ClientBytes, exchange, readClient } from './file.ts';
export { type Planned, plan, type Server, type Start } from './plan.ts';
export { readClientFile } from './read.ts';
export { type Program, rewrite, runWords } from './rewrite.ts';
