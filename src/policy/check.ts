import type { Document, DocumentError } from '../documents/index.js';

export interface Checked {
  /** With any error the documents must not be used. */
  errors: DocumentError[];
  /** What is allowed but probably not meant. */
  warnings: DocumentError[];
}

/** Checks what documents say about each other. */
export function check(_documents: readonly Document[]): Checked {
  throw new Error('not built');
}
