// What bench_classify prints, one JSON object a line, and how it is summed up: ratios of rounds that ran in turn, and
// geometric means over rule sets of one size.
import { rounded, spread } from './report.js';

/**
 * Lookups a second by side, a figure for each round: `headgate` (in batches of 32, as `rte_acl`), `headgate-single` (one
 * by one), `linear`, an `rte_acl-` for each algorithm, and `headgate-memo` for a few headers asked again and again.
 */
export type Rates = { headgate: number[]; linear: number[] } & Record<string, number[]>;

export interface BuildLine {
  mode: 'build';
  set: string;
  rules: number;
  widened: number;
  headgateSeconds: number;
  headgateBytes: number;
  rteAclSeconds?: number;
  rteAclBytes?: number;
  rteAclFailed?: string;
}

export interface LookupsLine {
  mode: 'lookups';
  set: string;
  headers: 'corner' | 'uniform';
  /** Headers in a row for one workload. */
  burst?: number;
  rates: Rates;
}

export interface OtherLine {
  mode: 'memory' | 'idle' | 'edits' | 'memoryAfterEdits' | 'peers';
  set: string;
}

export type Line = BuildLine | LookupsLine | OtherLine;

/** Millions of lookups a second; each side's best round, and of rte_acl its best algorithm's. */
export interface Compared {
  headgate: number;
  linear: number;
  /** One by one. */
  single?: number;
  /** With a warm memo. */
  memo?: number;
  rte_acl?: number;
  algorithm?: string;
  /** Headgate / rte_acl, of the best rounds. */
  ratio?: number;
  /** The median of the rounds' ratios, each beside the algorithm that was best in that round. */
  medianRatio?: number;
  /** With a warm memo / rte_acl, of the best rounds. */
  memoRatio?: number;
}

const MILLION = 1e6;
const PEER = 'rte_acl-';

export function compareRates(rates: Rates): Compared {
  const best = (name: string): number => Math.max(...(rates[name] ?? []));
  const given = (name: string, side: string): object =>
    side in rates ? { [name]: best(side) / MILLION } : {};
  const compared = {
    headgate: best('headgate') / MILLION,
    linear: best('linear') / MILLION,
    ...given('single', 'headgate-single'),
    ...given('memo', 'headgate-memo'),
  };
  const algorithms = Object.keys(rates).filter((name) => name.startsWith(PEER));
  const first = algorithms[0];
  if (first === undefined) return compared;
  const algorithm = algorithms.reduce((one, other) => (best(other) > best(one) ? other : one), first);
  const ratios = rates.headgate.map(
    (rate, round) => rate / Math.max(...algorithms.map((name) => rates[name]?.[round] ?? NaN)),
  );
  return {
    ...compared,
    rte_acl: best(algorithm) / MILLION,
    algorithm: algorithm.slice(PEER.length),
    ratio: best('headgate') / best(algorithm),
    medianRatio: spread(ratios).median,
    ...('headgate-memo' in rates ? { memoRatio: best('headgate-memo') / best(algorithm) } : {}),
  };
}

export function geometricMean(values: number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

const SIZES = [1000, 10_000, 50_000, 100_000];
/** Generated sets hold a bit fewer rules than their names say. */
export function sizeClass(rules: number): number {
  const distance = (size: number): number => Math.abs(Math.log(size / rules));
  return SIZES.reduce((one, other) => (distance(other) < distance(one) ? other : one));
}

/** What building a set took, with the memory as bytes for each rule. */
export function buildResults(lines: Line[]): object[] {
  return lines
    .filter((line) => line.mode === 'build')
    .map(({ mode: _, headgateBytes, rteAclBytes, ...build }) => ({
      ...build,
      headgateBytesPerRule: rounded(headgateBytes / build.rules),
      ...(rteAclBytes === undefined ? {} : { rteAclBytesPerRule: rounded(rteAclBytes / build.rules) }),
    }));
}

export interface SetResult extends Compared {
  set: string;
  headers: string;
  rules: number;
}

export function setResults(lines: Line[]): SetResult[] {
  const builds = new Map(lines.filter((line) => line.mode === 'build').map((line) => [line.set, line]));
  return lines
    .filter((line) => line.mode === 'lookups')
    .flatMap(({ set, headers, rates }) => {
      const build = builds.get(set);
      return build === undefined ? [] : [{ set, headers, rules: build.rules, ...compareRates(rates) }];
    });
}

const PARTS = [
  'headgate',
  'linear',
  'single',
  'memo',
  'rte_acl',
  'ratio',
  'medianRatio',
  'memoRatio',
] as const;

/** Geometric means; of `rte_acl` and what is compared with it: of the results that have it. */
export type SizeSummary = { results: number } & Partial<Record<(typeof PARTS)[number], number>>;

/** Sums up the sets of about so many rules; nothing if there are none. */
export function summarizeSize(results: SetResult[], size: number): SizeSummary | undefined {
  const these = results.filter(({ rules }) => sizeClass(rules) === size);
  if (these.length === 0) return undefined;
  const means = PARTS.flatMap((part) => {
    const values = these.flatMap((result) => result[part] ?? []);
    return values.length === 0 ? [] : [[part, rounded(geometricMean(values))] as const];
  });
  return { results: these.length, ...Object.fromEntries(means) };
}

/** The result of a firewall-like or ipc set that is the least good beside rte_acl. */
export function leastOfFirewalls(results: SetResult[]): SetResult | undefined {
  return results
    .filter(({ set, ratio }) => /^(fw|ipc)/.test(set) && ratio !== undefined)
    .reduce<SetResult | undefined>(
      (least, one) => (least === undefined || (one.ratio ?? 0) < (least.ratio ?? 0) ? one : least),
      undefined,
    );
}
