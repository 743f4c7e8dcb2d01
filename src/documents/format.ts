// Documents back to text. What is written reads back as the same documents.
import { stringify } from 'yaml';
import type { Document } from './types.js';

/** The document without its origin: what `get -o json` shows. */
export function plain({ apiVersion, kind, metadata, spec }: Document): Record<string, unknown> {
  const hasLabels = Object.keys(metadata.labels).length > 0;
  return { apiVersion, kind, metadata: hasLabels ? metadata : { name: metadata.name }, spec };
}

/** A YAML stream that reads back as the same documents (apart from their origins). */
export function formatYaml(documents: readonly Document[]): string {
  return documents
    .map((document) => stringify(plain(document), { aliasDuplicateObjects: false, lineWidth: 0 }))
    .join('---\n');
}
