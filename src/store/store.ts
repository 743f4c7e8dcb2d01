// Where control keeps the documents in force: numbered revisions, of which the newest counts.
//
// Each can be read by itself for as long as it is kept. `commit` returns when the revision will survive a crash, and a
// crash in the middle of it leaves either the old newest revision or the new one. One process holds a store at a
// time. The contract that every store keeps is test/contract/store.test.ts.

export interface RevisionSummary {
  /** From 1, growing by one with each commit. */
  number: number;
  /** RFC 3339, UTC. */
  time: string;
  /** What made it: `apply`, `delete Group web`, `rollback to 4`. */
  cause: string;
  documents: number;
}

export interface Revision {
  number: number;
  time: string;
  cause: string;
  /** Plain JSON values; whoever loads them checks what they are. */
  documents: unknown[];
}

export interface Loaded {
  /** The newest revision that is whole; absent in a new store. */
  revision?: Revision;
  /** What was found damaged, in words for the operator; it was left out. */
  problems: string[];
}

export interface Store {
  load(): Promise<Loaded>;
  /**
   * Makes the documents the newest revision. Throws a HeadgateError and changes nothing when it cannot. A document that
   * is the same object as in the commit before is taken to say the same: it costs nothing to keep it once more.
   */
  commit(cause: string, documents: readonly unknown[], time?: Date): Promise<Revision>;
  /** Newest first; damaged ones are left out. */
  list(): Promise<RevisionSummary[]>;
  /** Throws `revision-unknown` or `revision-damaged`. */
  read(number: number): Promise<Revision>;
  close(): Promise<void>;
}

/** How many revisions a store keeps. */
export const REVISIONS_KEPT = 100;

export function summarize(revision: Revision): RevisionSummary {
  return {
    number: revision.number,
    time: revision.time,
    cause: revision.cause,
    documents: revision.documents.length,
  };
}
