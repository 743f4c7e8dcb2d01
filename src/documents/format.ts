import type { Document } from './types.js';

/** The document without its origin: what `get -o json` shows. */
export function plain(_document: Document): Record<string, unknown> {
  throw new Error('not built');
}

/** A YAML stream that reads back as the same documents (apart from their origins). */
export function formatYaml(_documents: readonly Document[]): string {
  throw new Error('not built');
}
