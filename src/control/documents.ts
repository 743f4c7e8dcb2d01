// The set of documents in force, and what an apply or a delete makes of it: pure functions.
//
// The set never holds the Host document: that comes from the root-owned host file, which control may not change.
import { isDeepStrictEqual } from 'node:util';
import {
  documentKey,
  formatError,
  readDocuments,
  type Document,
  type DocumentError,
  type HostDocument,
  type Source,
} from '../documents/index.js';
import { examine, sameDocument, type Examined, type Lowered } from '../policy/index.js';
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

/**
 * The set after the given documents were added or replaced; with `prune` nothing else stays. Documents that say what they
 * did, at the same place, stay the same objects: what was made of them is then still right. By key, as is `before`.
 */
export function upsert(before: readonly Document[], given: readonly Document[], prune: boolean): Document[] {
  const coming = [...new Map(given.map((document) => [documentKey(document), document])).values()].sort(
    byKey,
  );
  const merged: Document[] = [];
  let next = 0;
  for (const old of before) {
    for (; next < coming.length && byKey(coming[next] as Document, old) < 0; next++)
      merged.push(coming[next] as Document);
    const document = coming[next];
    if (document !== undefined && byKey(document, old) === 0) {
      merged.push(isDeepStrictEqual(old, document) ? old : document);
      next++;
    } else if (!prune) {
      merged.push(old);
    }
  }
  return [...merged, ...coming.slice(next)];
}

/** Whether nothing changed: the same objects. */
export function isSame(a: readonly Document[], b: readonly Document[]): boolean {
  return a.length === b.length && a.every((document, i) => document === b[i]);
}

function byKey(a: Document, b: Document): number {
  if (a.kind !== b.kind) return a.kind < b.kind ? -1 : 1;
  return a.metadata.name < b.metadata.name ? -1 : a.metadata.name > b.metadata.name ? 1 : 0;
}

/** A set of documents without errors, by key, and what it comes to. */
export interface Policy extends Examined {
  documents: Document[];
  lowered: Lowered;
}

/** Checks a whole set together with its host, and compiles it. Throws `documents`. */
export function policyOf(documents: Document[], host: HostDocument, previous?: Policy): Policy {
  const examined = examine([host, ...documents], previous);
  const { errors, lowered } = examined;
  if (lowered === undefined) throw faulty(errors);
  return { ...examined, documents, lowered };
}

function faulty(errors: readonly DocumentError[]): HeadgateError {
  const count = errors.length === 1 ? 'There is an error' : `There are ${errors.length} errors`;
  return new HeadgateError('documents', `${count} in the documents; nothing was changed.`, {
    details: errors.map(formatError),
  });
}
