import type { Document } from '../documents/index.js';

export interface Resolved {
  documents: readonly Document[];
}

/** Groups, labels and names -> workloads and address ranges. Throws when `check` would find an error. */
export function resolve(_documents: readonly Document[]): Resolved {
  throw new Error('not built');
}
