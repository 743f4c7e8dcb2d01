// The documents that -f names, as text: control reads and checks them. Paths are made absolute, so that `explain` can
// name file and line whatever folder it is asked from.
import { resolve } from 'node:path';
import { loadSources, type Source } from '../documents/sources.js';
import { formatError } from '../documents/types.js';
import { HeadgateError } from '../shared/errors.js';

export async function sourcesOf(paths: readonly string[] | undefined): Promise<Source[]> {
  if (paths === undefined || paths.length === 0) {
    throw new HeadgateError('usage', 'No documents are given.', {
      remedy: 'Name files or folders with -f, or - for standard input.',
    });
  }
  const { sources, errors } = await loadSources(paths.map(absolute));
  if (errors.length === 0) return sources;
  throw new HeadgateError('files', 'Not all files can be read.', { details: errors.map(formatError) });
}

/** `-` stays what it is: standard input. */
export function absolute(path: string): string {
  return path === '-' ? path : resolve(path);
}
