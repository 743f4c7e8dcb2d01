import type { Document, DocumentError } from './types.js';

export interface Source {
  /** Named in errors and origins. */
  file: string;
  text: string;
}

/** Reads every document of the sources. With any error the documents must not be used. */
export function readDocuments(_sources: readonly Source[]): { documents: Document[]; errors: DocumentError[] } {
  throw new Error('not built');
}

/** Checks one document that comes back from a store, origin included; throws an Error that says what is wrong. */
export function parseDocument(_value: unknown): Document {
  throw new Error('not built');
}
