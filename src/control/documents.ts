// The set of documents in force, and what an apply or a delete makes of it: pure functions.
//
// The set never holds the Host document: that comes from the root-owned host file, which control may not change.
import {
  documentKey,
  formatError,
  readDocuments,
  type Document,
  type DocumentError,
  type HostDocument,
  type Source,
} from '../documents/index.js';
import { check, sameDocument } from '../policy/index.js';
import { HeadgateError } from '../shared/errors.js';

/** Reads what a user sent. Throws `documents` with one detail for each fault. */
export function readSources(sources: readonly Source[], host: HostDocument): Document[] {
  const { documents, errors } = readDocuments(sources);
  if (errors.length > 0) throw faulty(errors);
  return withoutHost(documents, host);
}

/** Leaves out a Host document that says what the host file says; refuses one that says something else. */
export function withoutHost(documents: readonly Document[], host: HostDocument): Document[] {
  for (const document of documents) {
    if (document.kind !== 'Host' || sameDocument(document, host)) continue;
    const { file, line } = document.origin;
    throw new HeadgateError('host-document', `${file}:${line}: a document of kind Host cannot be applied.`, {
      remedy: `It decides what may be attached on this machine, so only root sets it: edit ${host.origin.file} and restart Headgate.`,
    });
  }
  return documents.filter((document) => document.kind !== 'Host');
}

/** The set after the given documents were added or replaced; with `prune` nothing else stays. */
export function upsert(before: readonly Document[], given: readonly Document[], prune: boolean): Document[] {
  const merged = new Map<string, Document>();
  if (!prune) for (const document of before) merged.set(documentKey(document), document);
  for (const document of given) merged.set(documentKey(document), document);
  return [...merged.values()].sort(byKey);
}

function byKey(a: Document, b: Document): number {
  const [left, right] = [documentKey(a), documentKey(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Checks a whole set together with its host. Throws `documents`; gives back the warnings. */
export function checkSet(documents: readonly Document[], host: HostDocument): string[] {
  const { errors, warnings } = check([host, ...documents]);
  if (errors.length > 0) throw faulty(errors);
  return warnings.map(formatError);
}

function faulty(errors: readonly DocumentError[]): HeadgateError {
  const count = errors.length === 1 ? 'There is an error' : `There are ${errors.length} errors`;
  return new HeadgateError('documents', `${count} in the documents; nothing was changed.`, {
    details: errors.map(formatError),
  });
}
