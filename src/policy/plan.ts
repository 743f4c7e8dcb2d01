import type { Delta } from '../engine/messages.js';
import type { Document, Kind, Origin } from '../documents/index.js';

export interface FieldChange {
  /** `spec.rules[web-in].action`; rules go by name where they have one. */
  path: string;
  /** Absent: the field is new. */
  before?: unknown;
  /** Absent: the field is gone. */
  after?: unknown;
}

export interface DocumentChange {
  change: 'added' | 'changed' | 'removed';
  kind: Kind;
  name: string;
  origin: Origin;
  /** Only for `changed`. */
  fields: FieldChange[];
}

export interface Plan {
  /** In the order kind, name. */
  changes: DocumentChange[];
  unchanged: number;
  /** Shared rules of the engine that come and go, and workloads whose rules or attachment change. */
  counts: { rulesAdded: number; rulesRemoved: number; workloadsTouched: number; addressSetsTouched: number };
  /** What publishing would send to an engine that holds the old documents. */
  delta: Delta;
}

/** Compares two whole, checked sets of documents. */
export function plan(_before: readonly Document[], _after: readonly Document[]): Plan {
  throw new Error('not built');
}

/** Whether two documents say the same; where they are written does not count. */
export function sameDocument(_a: Document, _b: Document): boolean {
  throw new Error('not built');
}
