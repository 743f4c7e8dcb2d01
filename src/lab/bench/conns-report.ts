// How bench conns sums up what bench_conns reports: memory by the difference of two sizes, rates by how full, stalls.
import type { Figures } from './measure.js';
import { rounded, spread } from './report.js';

/** Microseconds of batches of 64 frames; `processor...`: of the thread's processor time. */
export interface Batches {
  batches: number;
  median: number;
  p999: number;
  longest: number;
  processorP999: number;
  processorLongest: number;
}

export interface Step {
  percent: number;
  /** A second of processor time. */
  insert: number;
  hit: number;
  miss?: number;
  /** Bytes of the whole process in memory. */
  resident: number;
}

/** One object that bench_conns prints. */
export interface ConnsReport {
  connections: number;
  steps: Step[];
  fill: Batches;
  answer?: Batches;
  ageing?: Batches;
  timeout?: Batches;
  allClasses?: Batches;
  pageTables?: number;
  refusedAtTimeout?: number;
  collected?: number;
}

/** What a connection takes of resident memory: all that is more than with a small full table. */
export function bytesEach(small: ConnsReport, large: ConnsReport): number {
  const of = ({ steps }: ConnsReport) => steps.at(-1)?.resident ?? NaN;
  return (of(large) - of(small)) / (large.connections - small.connections);
}

const PHASES = ['fill', 'answer', 'ageing', 'timeout', 'allClasses'] as const;

/** One run's figures: bytes, rates of the full table, and of each phase the longest batch in processor time. */
export function figuresOf(small: ConnsReport, report: ConnsReport): Figures {
  const full = report.steps.at(-1);
  const figures: Figures = {
    value: bytesEach(small, report),
    insert: full?.insert ?? NaN,
    hit: full?.hit ?? NaN,
  };
  if (full?.miss !== undefined) figures['miss'] = full.miss;
  for (const phase of PHASES) {
    const batches = report[phase];
    if (batches === undefined) continue;
    figures[`${phase}Median`] = batches.median;
    figures[`${phase}P999`] = batches.processorP999;
    figures[`${phase}Longest`] = batches.processorLongest;
  }
  if (report.pageTables !== undefined) figures['pageTablesEach'] = report.pageTables / report.connections;
  if (report.refusedAtTimeout !== undefined) figures['refusedAtTimeout'] = report.refusedAtTimeout;
  return figures;
}

/** Medians of several runs at each step, in millions a second. */
export function stepsOf(reports: ConnsReport[]): Record<string, Record<string, number>> {
  const names = ['insert', 'hit', 'miss'] as const;
  const percents = reports[0]?.steps.map(({ percent }) => percent) ?? [];
  const median = (name: (typeof names)[number], place: number) =>
    spread(reports.map(({ steps }) => steps[place]?.[name] ?? NaN)).median;
  return Object.fromEntries(
    percents.map((percent, place) => [
      `${percent} %`,
      Object.fromEntries(
        names
          .map((name) => [name, rounded(median(name, place) / 1e6)] as const)
          .filter(([, value]) => !Number.isNaN(value)),
      ),
    ]),
  );
}

/** Bytes of an nf_conntrack record, as /proc/slabinfo says; undefined where it names none. */
export function conntrackBytes(slabinfo: string): number | undefined {
  const found = /^nf_conntrack\s+\d+\s+\d+\s+(\d+)\s/m.exec(slabinfo);
  return found === null ? undefined : Number(found[1]);
}
