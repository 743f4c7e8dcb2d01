// What happened, newest last: revisions, refusals, engines that came and went, workloads that were attached or lost. Kept
// in memory, a bounded number: who wants them for longer follows them, or reads the log.
import { HeadgateError, errorMessage } from '../shared/errors.js';
import type { EventsResult, HappenedEvent } from './api.js';

const MOST_EVENTS = 1000;

export class Events {
  readonly #began = new Date().toISOString();
  readonly #most: number;
  #kept: HappenedEvent[] = [];
  #next = 1;

  constructor(most = MOST_EVENTS) {
    this.#most = most;
  }

  add(kind: HappenedEvent['kind'], what: string, about: { workload?: string; revision?: number } = {}): void {
    this.#kept.push({ number: this.#next++, time: new Date().toISOString(), kind, what, ...about });
    if (this.#kept.length > this.#most) this.#kept.shift();
  }

  /** Adds what was refused and why. */
  refused(cause: string, error: unknown): void {
    const [first, ...more] = error instanceof HeadgateError ? error.details : [];
    const detail =
      first === undefined ? '' : ` ${first}${more.length > 0 ? ` (and ${more.length} more)` : ''}`;
    this.add('refused', `${cause}: ${errorMessage(error)}${detail}`);
  }

  /** Those after a number. `missed`: how many of them are no longer kept. */
  after(number: number): EventsResult {
    const first = this.#kept[0]?.number ?? this.#next;
    return {
      began: this.#began,
      events: this.#kept.filter((event) => event.number > number),
      missed: Math.max(0, first - number - 1),
    };
  }
}
