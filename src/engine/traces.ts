// The engine's side of traces: bytes between base64 and buffers, and the end of traces that nobody takes from any more,
// so that a reader that died costs packets nothing.
import type { NativeEngine, NativeTrace } from './addon.js';
import type { GivenFrame, Trace, TraceFilter } from './trace-messages.js';

/** A live trace that nobody takes from for so long ends. */
const ABANDONED_MILLISECONDS = 10_000;

export class Traces {
  readonly #native: NativeEngine;
  readonly #taken = new Map<number, number>();

  constructor(native: NativeEngine) {
    this.#native = native;
  }

  simulate(frames: GivenFrame[]): { traces: Trace[] } {
    return { traces: this.#native.simulate(frames.map(withBytes)).map(withText) };
  }

  inject(frame: GivenFrame): { trace: Trace } {
    return { trace: withText(this.#native.injectTraced(withBytes(frame))) };
  }

  start(filter: TraceFilter): { trace: number } {
    const trace = this.#native.startTrace(filter);
    this.#taken.set(trace, performance.now());
    return { trace };
  }

  take(trace: number, limit: number): { traces: Trace[]; lost: number } {
    const { traces, lost } = this.#native.takeTrace(trace, limit);
    this.#taken.set(trace, performance.now());
    return { traces: traces.map(withText), lost };
  }

  stop(trace: number): void {
    this.#taken.delete(trace);
    this.#native.stopTrace(trace);
  }

  /** Ends those that were abandoned; called every second or so. */
  tick(now = performance.now()): void {
    for (const [trace, taken] of this.#taken) if (now - taken >= ABANDONED_MILLISECONDS) this.stop(trace);
  }
}

function withBytes(given: GivenFrame) {
  return { ...given, frame: Buffer.from(given.frame, 'base64') };
}

function withText(trace: NativeTrace): Trace {
  return { ...trace, frame: trace.frame.toString('base64') };
}
