// Lines that tell whoever asks for them where a request has come to.
import type { ErrorBody } from '../shared/errors.js';

/** Where a request that takes `application/x-ndjson` has come to: lines of these go before that of its result. */
export interface Progress {
  step: 'read' | 'check' | 'publish' | 'store';
  /** Share of the work that is behind it, about. */
  done: number;
}

/** The last line: what the answer would otherwise be. */
export type Outcome = { result: unknown } | { error: ErrorBody };

export const NDJSON = 'application/x-ndjson';
