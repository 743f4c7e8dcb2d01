// What came and what went between two sets of documents. Documents are told apart by identity; sets that follow each other
// have nearly all of theirs in common, in the same order.
import type { Document } from '../documents/index.js';
import { documentKey } from '../documents/index.js';

export interface Replacement {
  before: Document;
  after: Document;
}

export interface Difference {
  fresh: Document[];
  gone: Document[];
  /** What of it are new versions of a document, by key. */
  replaced: Map<string, Replacement>;
}

export function difference(before: readonly Document[], after: readonly Document[]): Difference {
  let first = 0;
  while (first < before.length && before[first] === after[first]) first++;
  let [last, end] = [before.length, after.length];
  while (last > first && end > first && before[last - 1] === after[end - 1])
    [last, end] = [last - 1, end - 1];
  const left = new Set(before.slice(first, last));
  const fresh = after.slice(first, end).filter((document) => !left.delete(document));
  const gone = [...left];
  const old = new Map(gone.map((document) => [documentKey(document), document]));
  const replaced = new Map<string, Replacement>();
  for (const document of fresh) {
    const key = documentKey(document);
    const previous = old.get(key);
    if (previous) replaced.set(key, { before: previous, after: document });
  }
  return { fresh, gone, replaced };
}
