// Takes traces of real traffic until enough was seen, time is up, or the user ends it; the trace then ends in the engine
// too.
import { setTimeout as sleep } from 'node:timers/promises';
import type { LiveBody, LiveResult, TakenResult } from '../../control/trace-api.js';
import type { TraceAnswer } from '../../trace/answer.js';
import type { ApiClient } from '../client.js';
import { note } from '../output.js';

export interface LiveOptions {
  workload?: string;
  rule?: string;
  dropped?: boolean;
  bytes?: number;
  count?: number;
  /** Seconds. */
  duration?: number;
}

const PAUSE_MILLISECONDS = 200;
/** So many at once, or so much of frames: there may be more already. */
const BUSY = 500;
const BUSY_BYTES = 1024 * 1024;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * `each` is given every packet that fits, once the trace is on and `begun` was called; says on stderr how many there were
 * and how many were lost.
 */
export async function followLive(
  client: ApiClient,
  filter: string | undefined,
  options: LiveOptions & { steps?: boolean },
  each: (trace: TraceAnswer) => void,
  begun: () => void = () => undefined,
): Promise<void> {
  const ending = new AbortController();
  const hurry = new AbortController();
  const stop = () => (ending.signal.aborted ? hurry : ending).abort();
  for (const signal of SIGNALS) process.on(signal, stop);
  const timer = options.duration === undefined ? undefined : setTimeout(stop, options.duration * 1000);
  const { id } = await client.post<LiveResult>('/v1/trace/live', bodyOf(filter, options));
  const path = `/v1/trace/live/${id}`;
  const seen = new Seen(options.count ?? Infinity, each);
  try {
    begun();
    note('tracing: Ctrl-C ends it');
    const take = async () =>
      seen.take(await client.get<TakenResult>(options.steps === true ? `${path}?steps=true` : path));
    while (!ending.signal.aborted && !seen.isEnough) {
      if (!(await take()))
        await sleep(PAUSE_MILLISECONDS, undefined, { signal: ending.signal }).catch(() => undefined);
    }
    // What came before the end is still told; who does not want to wait for it says so a second time.
    const end = Date.now();
    while (!seen.isEnough && !hurry.signal.aborted && (await take()) && seen.last < end);
  } finally {
    clearTimeout(timer);
    for (const signal of SIGNALS) process.off(signal, stop);
    await client.delete(path).catch(() => undefined);
  }
  note(
    `${seen.count} packet${seen.count === 1 ? '' : 's'}${seen.lost > 0 ? `, ${seen.lost} more lost: they came too fast` : ''}`,
  );
}

function bodyOf(filter: string | undefined, { workload, rule, dropped, bytes }: LiveOptions): LiveBody {
  return {
    ...(filter === undefined ? {} : { filter }),
    ...(workload === undefined ? {} : { workload }),
    ...(rule === undefined ? {} : { rule }),
    ...(dropped === true ? { dropped } : {}),
    ...(bytes === undefined ? {} : { bytes }),
  };
}

class Seen {
  count = 0;
  lost = 0;
  /** When the last one came. */
  last = 0;
  readonly #most: number;
  readonly #each: (trace: TraceAnswer) => void;

  constructor(most: number, each: (trace: TraceAnswer) => void) {
    this.#most = most;
    this.#each = each;
  }

  get isEnough(): boolean {
    return this.count >= this.#most;
  }

  /** Whether there may be more. */
  take({ traces, lost }: TakenResult): boolean {
    for (const trace of traces.slice(0, this.#most - this.count)) {
      this.count += 1;
      this.last = trace.time;
      this.#each(trace);
    }
    this.lost += lost;
    const bytes = traces.reduce((sum, { trace }) => sum + trace.frame.length, 0);
    return traces.length >= BUSY || bytes >= BUSY_BYTES;
  }
}
