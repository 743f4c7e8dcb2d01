// Reads documents from where people keep them.
import { readDocuments } from './read.js';
import { loadSources } from './sources.js';
import type { Document, DocumentError } from './types.js';

/** Reads the documents of all paths, as `loadSources` finds them. */
export async function loadPaths(
  paths: readonly string[],
): Promise<{ documents: Document[]; errors: DocumentError[] }> {
  const { sources, errors } = await loadSources(paths);
  const read = readDocuments(sources);
  return { documents: read.documents, errors: [...errors, ...read.errors] };
}
