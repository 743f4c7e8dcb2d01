// Reads the text of documents from where people keep them: files, folders, standard input.
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { DocumentError } from './types.js';

export const MAX_FILE_BYTES = 32 * 1024 * 1024;

export interface Source {
  /** Named in errors and origins. */
  file: string;
  text: string;
}

const EXTENSIONS = /\.(ya?ml|json)$/;

/**
 * Reads the text of files, folders (their *.yaml, *.yml and *.json by name, not deeper) and `-` (standard input).
 * What cannot be read is an error like any other; it does not throw.
 */
export async function loadSources(
  paths: readonly string[],
): Promise<{ sources: Source[]; errors: DocumentError[] }> {
  const sources: Source[] = [];
  const errors: DocumentError[] = [];
  for (const path of paths) {
    try {
      for (const file of await filesOf(path))
        sources.push({ file: file === '-' ? '(stdin)' : file, text: await textOf(file) });
    } catch (cause) {
      errors.push({ file: path, line: 1, column: 1, path: '', message: unreadable(cause) });
    }
  }
  return { sources, errors };
}

async function filesOf(path: string): Promise<string[]> {
  if (path === '-' || !(await stat(path)).isDirectory()) return [path];
  const entries = await readdir(path, { withFileTypes: true });
  const files = entries.filter(
    (entry) => !entry.isDirectory() && !entry.name.startsWith('.') && EXTENSIONS.test(entry.name),
  );
  if (files.length === 0) throw new Error('the folder holds no *.yaml, *.yml or *.json file');
  return files.map((entry) => join(path, entry.name)).sort();
}

async function textOf(file: string): Promise<string> {
  if (file !== '-') {
    if ((await stat(file)).size > MAX_FILE_BYTES) throw new Error(tooLarge);
    return decode(await readFile(file));
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_FILE_BYTES) throw new Error(tooLarge);
    chunks.push(chunk);
  }
  return decode(Buffer.concat(chunks));
}

const tooLarge = `larger than ${MAX_FILE_BYTES >> 20} MiB: split the file`;

function decode(bytes: Buffer): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}

function unreadable(cause: unknown): string {
  const code = (cause as { code?: string }).code;
  if (code === 'ENOENT') return 'there is no such file or folder: check the path';
  if (code === 'EACCES') return 'may not be read by this user: check its permissions';
  if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return 'is not UTF-8 text: save it as UTF-8';
  return `cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`;
}
