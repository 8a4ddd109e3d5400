export type { Descriptor, Store } from './store.ts';
