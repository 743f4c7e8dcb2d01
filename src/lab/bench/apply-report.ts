// How bench apply sums up: when the first frame of a change came, and percentiles.
import { rounded } from './report.js';

/** A datagram that came first after ones to the other port: to which port, and when, in ms. */
export interface Arrival {
  port: number;
  at: number;
}

/** The first arrival at `port` that is not from before `since`. */
export function firstArrival(arrivals: readonly Arrival[], port: number, since: number): Arrival | undefined {
  return arrivals.find((arrival) => arrival.port === port && arrival.at >= since);
}

export interface Percentiles {
  p50: number;
  p99: number;
  max: number;
}

/** The least value that so many percent of all do not exceed. */
export function percentiles(values: readonly number[]): Percentiles {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => rounded(sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN);
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** How long each step took, by name; `moments` are the steps' beginnings in order, and last the end of all. */
export function durations(moments: readonly { step: string; at: number }[]): Record<string, number> {
  const steps: Record<string, number> = {};
  for (const [i, { step, at }] of moments.entries()) {
    const next = moments[i + 1];
    if (next !== undefined) steps[step] = rounded((steps[step] ?? 0) + next.at - at);
  }
  return steps;
}
