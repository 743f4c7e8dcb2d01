// What becomes of the records given to one exporter: counted, and a loss told in the log when it begins and once a minute.
import type { Logger } from '../observe/logger.js';

const MINUTE = 60_000;

export interface FlowLogCounts {
  records: number;
  lost: number;
}

/** Records since control started; what the engine had no room for is lost before any exporter. */
export interface FlowLogTotals {
  engine: FlowLogCounts;
  ipfix: FlowLogCounts;
  json: FlowLogCounts;
}

export const noFlowLogs = (): FlowLogTotals => ({
  engine: { records: 0, lost: 0 },
  ipfix: { records: 0, lost: 0 },
  json: { records: 0, lost: 0 },
});

export class Outcome {
  readonly #to: string;
  readonly #counts: FlowLogCounts;
  readonly #log: Pick<Logger, 'warn'>;
  #toldAt = -Infinity;
  #toldLost: number;

  /** `counts` are added to. */
  constructor(to: string, counts: FlowLogCounts, log: Pick<Logger, 'warn'>) {
    this.#to = to;
    this.#counts = counts;
    this.#log = log;
    this.#toldLost = counts.lost;
  }

  written(records: number): void {
    this.#counts.records += records;
  }

  lost(records: number, why: string): void {
    this.#counts.lost += records;
    const now = performance.now();
    if (now - this.#toldAt < MINUTE) return;
    this.#log.warn(
      { to: this.#to, lost: this.#counts.lost - this.#toldLost, detail: why },
      'flow log records are lost',
    );
    this.#toldAt = now;
    this.#toldLost = this.#counts.lost;
  }
}
