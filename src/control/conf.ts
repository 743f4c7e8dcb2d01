// The documents of conf.d, which are applied each time control starts.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { formatError, loadPaths, type Document } from '../documents/index.js';
import { errorCode, HeadgateError } from '../shared/errors.js';

/** Throws `documents` when one of them has errors. */
export async function readConf(directory: string): Promise<Document[]> {
  const { documents, errors } = await loadPaths(confFiles(directory));
  if (errors.length === 0) return documents;
  throw new HeadgateError('documents', `conf.d has errors: ${errors.map(formatError).join('; ')}`);
}

/** The YAML files of conf.d, by name; none when the folder does not exist. */
function confFiles(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => /\.ya?ml$/.test(name))
      .sort()
      .map((name) => join(directory, name));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
}
