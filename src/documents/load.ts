import type { Document, DocumentError } from './types.js';

/** Reads files, folders (their *.yaml and *.yml, by name, not deeper) and `-` (standard input). */
export function loadPaths(_paths: readonly string[]): Promise<{ documents: Document[]; errors: DocumentError[] }> {
  throw new Error('not built');
}
