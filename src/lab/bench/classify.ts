// The lookup of rules beside DPDK's rte_acl and a linear scan, in one process, in turn: native-bindings/bench/classify.cc
// measures and compares every answer, this chooses the rule sets and sums up.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { FAMILIES, families } from '../generate/families.js';
import { Random } from '../generate/random.js';
import { formatTuple } from '../generate/tuple.js';
import { generateTuples } from '../generate/tuples.js';
import { execIn } from '../namespaces.js';
import {
  buildResults,
  compareRates,
  leastOfFirewalls,
  setResults,
  summarizeSize,
  type Line,
  type LookupsLine,
  type SetResult,
} from './classify-report.js';
import type { Figures } from './measure.js';
import { rounded, type Result } from './report.js';

interface Options {
  quick: boolean;
  say: (text: string) => void;
}

const SEED = 1;
const at = (path: string): string => resolve(process.env['HEADGATE_ROOT'] ?? '.', path);

export async function classify({ quick, say }: Options): Promise<Result> {
  const library = at('build/dpdk/librte_acl_peer.so');
  const peer = existsSync(library) ? ['--peer', library] : [];
  if (peer.length === 0) say('rte_acl is not here: measuring beside the linear scan only');
  const given = givenSets(quick);
  if (given.length === 0) say('../shared/classbench is not here: measuring generated rule sets only');
  const generated = (quick ? [10_000] : [10_000, 100_000]).flatMap(generatedSets);

  const lines: Line[] = [];
  for (const set of [...given, ...generated]) {
    say(`${basename(set)}: building, then looking up`);
    const rounds = quick ? ['--rounds', '2', '--turn', '0.05'] : ['--rounds', '5'];
    const printed = await run('sets', [...peer, ...rounds, set]);
    lines.push(...printed);
    for (const line of printed)
      if (line.mode === 'build' && line.rteAclFailed !== undefined)
        say(`  rte_acl cannot be built for it: ${line.rteAclFailed}`);
    setResults(printed).forEach((result) => say(describe(result)));
  }
  const workloads = await measureWorkloads([...given, ...generated], peer, quick, say);
  return summarize(lines, workloads, given.length);
}

/** Unpacked by scripts/bench. */
function givenSets(quick: boolean): string[] {
  const folder = at('build/classbench');
  const names = existsSync(folder) ? readdirSync(folder).sort() : [];
  return names.filter((name) => !quick || !name.includes('50k')).map((name) => join(folder, name));
}

function generatedSets(rules: number): string[] {
  const folder = at('build/generated-rules');
  mkdirSync(folder, { recursive: true });
  return FAMILIES.map((family) => {
    const path = join(folder, `${family}_${rules / 1000}k_generated`);
    const tuples = generateTuples(families[family], rules, new Random(SEED));
    writeFileSync(path, tuples.map((tuple) => `${formatTuple(tuple)}\n`).join(''));
    return path;
  });
}

async function run(mode: string, argv: string[]): Promise<Line[]> {
  const program = at('build/Release/bench_classify');
  const text = await execIn(undefined, [program, mode, ...argv], { timeoutMs: 1_800_000 });
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}

function describe({ set, headers, headgate, linear, ...peer }: SetResult): string {
  const beside =
    peer.rte_acl === undefined
      ? 'no rte_acl'
      : `rte_acl (${peer.algorithm}) ${rounded(peer.rte_acl)}, ratio ${rounded(peer.ratio ?? NaN)}`;
  return `  ${set}, ${headers}: ${rounded(headgate)} M lookups/s; ${beside}; linear ${rounded(linear)}`;
}

/** 1,000 workloads with 500 of the rules each: of 10,000 beside rte_acl, and of 100,000. */
async function measureWorkloads(
  sets: string[],
  peer: string[],
  quick: boolean,
  say: (text: string) => void,
): Promise<Line[]> {
  const named = (wanted: RegExp): string[] => sets.filter((set) => wanted.test(basename(set))).slice(0, 1);
  const beside = [...named(/^acl1?_10k/), ...(quick ? [] : named(/^fw1?_10k/))];
  const alone = named(/^acl_100k/);
  const lines: Line[] = [];
  for (const set of [...beside, ...alone]) {
    say(`${basename(set)}: 1,000 workloads with 500 of its rules each`);
    // Building rte_acl a thousand times takes from half a minute to several.
    const more = quick ? ['--rounds', '2', '--edits', '400'] : beside.includes(set) ? peer : [];
    const printed = await run('workloads', [...more, set]);
    for (const line of printed) say(`  ${line.mode}: ${JSON.stringify(withoutRates(line))}`);
    lines.push(...printed);
  }
  return lines;
}

const withoutRates = (line: Line): object =>
  line.mode === 'lookups' ? { ...line, rates: undefined, ...compareRates(line.rates) } : line;

function summarize(lines: Line[], workloads: Line[], given: number): Result {
  const results = setResults(lines);
  const sizes = [1000, 10_000, 50_000, 100_000];
  const bySize = Object.fromEntries(sizes.map((size) => [size, summarizeSize(results, size)]));
  const ofFamous = results.filter(({ set }) => !set.endsWith('_generated'));
  const main = bySize[10_000];
  const peers: Record<string, number> = {
    linear: main?.linear ?? NaN,
    ...(main?.rte_acl === undefined ? {} : { rte_acl: main.rte_acl }),
  };
  return {
    name: 'classify',
    value: main?.headgate ?? NaN,
    unit: 'M lookups/s',
    better: 'higher',
    peers,
    ratios: {
      linear: rounded((main?.headgate ?? NaN) / (main?.linear ?? NaN)),
      ...(main?.ratio === undefined ? {} : { rte_acl: main.ratio }),
    },
    details: {
      about:
        'geometric means over the rule sets of 10,000 rules, corner and uniform headers, one workload; ' +
        'best rounds, in processor time; in batches of 32, single: one by one; of rte_acl its best algorithm for each',
      classbench: given === 0 ? '../shared/classbench is not here' : `${given} sets`,
      geometricMeans: bySize,
      withoutGenerated: summarizeSize(ofFamous, 10_000),
      leastOfFirewalls: {
        '10000': leastOfFirewalls(results.filter(({ rules }) => rules < 30_000 && rules > 3000)),
        all: leastOfFirewalls(results),
      },
      sets: results,
      builds: buildResults(lines),
      workloads: workloads.map(withoutRates),
    },
    runs: Object.fromEntries(
      lines
        .filter((line): line is LookupsLine => line.mode === 'lookups')
        .map(({ set, headers, rates }) => [`${set} ${headers}`, roundsOf(rates)]),
    ),
  };
}

const roundsOf = (rates: LookupsLine['rates']): Figures[] =>
  rates.headgate.map((value, round) => ({
    ...Object.fromEntries(Object.entries(rates).map(([name, all]) => [name, (all[round] ?? NaN) / 1e6])),
    value: value / 1e6,
  }));
