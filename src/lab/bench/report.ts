// Figures of many runs made into the result that scripts/bench prints: medians, ratios, and every single run.
import type { Figures } from './measure.js';

export interface Result {
  name: string;
  /** Headgate's median. */
  value: number;
  unit: string;
  better: 'higher' | 'lower';
  /** Medians of the peers. */
  peers: Record<string, number>;
  /** Headgate / peer, of the medians. */
  ratios: Record<string, number>;
  details: Record<string, unknown>;
  runs: Record<string, Figures[]>;
}

export interface Spread {
  min: number;
  median: number;
  max: number;
}

export function spread(values: number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const at = (index: number) => sorted[index] ?? NaN;
  return {
    min: at(0),
    median: sorted.length % 2 === 1 ? at(Math.floor(middle)) : (at(middle - 1) + at(middle)) / 2,
    max: at(sorted.length - 1),
  };
}

export const rounded = (value: number): number => Number(value.toPrecision(4));

/** Every figure of the runs as min, median and max. */
export function spreads(runs: Figures[]): Record<string, Spread> {
  const names = Object.keys(runs[0] ?? {});
  return Object.fromEntries(
    names.map((name) => {
      const { min, median, max } = spread(runs.map((figures) => figures[name] ?? NaN));
      return [name, { min: rounded(min), median: rounded(median), max: rounded(max) }];
    }),
  );
}

/**
 * Headgate with many rules, many standing connections, or another encapsulation / Headgate with one rule, of the medians;
 * empty where one of them was not measured.
 */
export function manyOverOne(runs: Record<string, Figures[]>): Record<string, number> {
  const median = (name: string) => spread((runs[name] ?? []).map(({ value }) => value)).median;
  const one = ['headgate-1', 'headgate'].find((name) => name in runs);
  const many = Object.keys(runs).filter((name) =>
    /^headgate-(10000|datacenter|standing|geneve|gre|gre-udp|nsh|nsh-ethernet)$/.test(name),
  );
  if (one === undefined) return {};
  return Object.fromEntries(many.map((name) => [`${name} / ${one}`, rounded(median(name) / median(one))]));
}

/** A table for people: one line for each that was measured. */
export function table(result: Result): string {
  const lines = [
    `${result.name} (${result.unit}, ${result.better} is better; min / median / max of the runs)`,
  ];
  for (const [name, runs] of Object.entries(result.runs)) {
    const { min, median, max } = spread(runs.map((figures) => figures.value));
    const ratio = result.ratios[name];
    const compared = ratio === undefined ? '' : `   Headgate / ${name} = ${ratio}`;
    lines.push(
      `  ${name.padEnd(16)} ${[min, median, max].map((v) => String(rounded(v)).padStart(9)).join(' ')}${compared}`,
    );
  }
  for (const [name, ratio] of Object.entries(result.details['manyOverOne'] ?? {}))
    lines.push(`  ${name} = ${String(ratio)}`);
  return lines.join('\n');
}
