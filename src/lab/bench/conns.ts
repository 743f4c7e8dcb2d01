// The connection table: bytes for each connection, rates as it fills, the longest batch while it fills, ages and times
// out; beside the table alone and a std::unordered_map, and the size of the kernel's record.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { execIn } from '../namespaces.js';
import { conntrackBytes, figuresOf, stepsOf, type ConnsReport } from './conns-report.js';
import type { Figures } from './measure.js';
import { rounded, spread, spreads, type Result } from './report.js';

const execFileAsync = promisify(execFile);
const program = (): string => resolve(process.env['HEADGATE_ROOT'] ?? '.', 'build/Release/bench_conns');

/** Against which memory is compared: what does not grow with connections is in it. */
const SMALL = 1000;
/** Where the kernel does not say: of Linux 6.1 on x86-64, with cache lines of 64 bytes. */
const KERNEL_BYTES = 320;
const COUNTED = 20_000;

const modes: Record<string, string[]> = {
  headgate: ['engine'],
  'headgate-ipv6': ['engine', 'ipv6'],
  'table-alone': ['table'],
  'table-alone-huge-pages': ['table', 'huge'],
  unordered_map: ['map'],
};

export async function conns({
  quick,
  say,
}: {
  quick: boolean;
  say: (text: string) => void;
}): Promise<Result> {
  const sizes = quick ? [1_000_000] : [1_000_000, 4_000_000];
  const runs: Record<string, Figures[]> = {};
  const reports: Record<string, ConnsReport[]> = {};
  for (let run = 1; run <= (quick ? 1 : 5); run++) {
    for (const connections of sizes) {
      for (const mode of Object.keys(modes)) {
        const report = await measure(mode, connections);
        const figures = figuresOf(await measure(mode, SMALL), report);
        const name = connections === sizes[0] ? mode : `${mode}-${connections / 1e6}M`;
        (runs[name] ??= []).push(figures);
        (reports[name] ??= []).push(report);
        say(`run ${run}, ${connections} connections, ${mode}: ${line(figures)}`);
      }
    }
  }
  const steps = Object.fromEntries(Object.entries(reports).map(([name, some]) => [name, stepsOf(some)]));
  say(stepTable(steps));
  const instructions = await instructionsPerFrame();
  say(`instructions a frame: ${JSON.stringify(instructions)}`);
  return summarize(runs, { steps, instructionsPerFrame: instructions });
}

function line(figures: Figures): string {
  const millions = (name: string) => `${rounded((figures[name] ?? NaN) / 1e6)} M/s`;
  const longest = ['fill', 'ageing', 'timeout', 'allClasses']
    .filter((phase) => `${phase}Longest` in figures)
    .map((phase) => `${phase} ${figures[`${phase}Longest`]}`);
  const rates = `${millions('insert')} new, ${millions('hit')} known`;
  return `${rounded(figures.value)} bytes each, ${rates}, longest batch in us: ${longest.join(', ')}`;
}

function stepTable(steps: Record<string, Record<string, Record<string, number>>>): string {
  const lines = ['millions a second as it fills'];
  for (const [name, some] of Object.entries(steps))
    for (const [percent, rates] of Object.entries(some))
      lines.push(
        `  ${name.padEnd(26)} ${percent.padStart(5)}  ` +
          Object.entries(rates)
            .map(([rate, value]) => `${rate} ${String(value).padEnd(6)}`)
            .join('  '),
      );
  return lines.join('\n');
}

async function measure(mode: string, connections: number): Promise<ConnsReport> {
  const [kind = '', ...words] = modes[mode] ?? [];
  const text = await execIn(undefined, [program(), kind, String(connections), ...words], {
    timeoutMs: 600_000,
  });
  return JSON.parse(text) as ConnsReport;
}

/** What callgrind counts for a frame of a new flow, of its first answer, of known flows, and while records age. */
async function instructionsPerFrame(): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const phase of ['fill', 'answer', 'known', 'ageing', 'timeout']) {
    const callgrind = ['--tool=callgrind', '--collect-atstart=no', '--callgrind-out-file=/dev/null'];
    const argv = [...callgrind, program(), 'engine', String(COUNTED), 'collect', phase];
    const { stdout, stderr } = await execFileAsync('valgrind', argv, { encoding: 'utf8', timeout: 300_000 });
    const found = /Collected\s*:\s*([\d,]+)/.exec(stderr);
    const { collected } = JSON.parse(stdout) as ConnsReport;
    if (found?.[1] === undefined || !collected) throw new Error(`callgrind said no count:\n${stderr}`);
    counts[phase] = rounded(Number(found[1].replaceAll(',', '')) / collected);
  }
  return counts;
}

function summarize(runs: Record<string, Figures[]>, details: Record<string, unknown>): Result {
  const median = (name: string) => rounded(spread((runs[name] ?? []).map(({ value }) => value)).median);
  const kernel = conntrackBytes(readFileSync('/proc/slabinfo', 'utf8'));
  const peers = { kernel: kernel ?? KERNEL_BYTES, unordered_map: median('unordered_map') };
  return {
    name: 'conns',
    value: median('headgate'),
    unit: 'bytes a connection',
    better: 'lower',
    peers,
    ratios: Object.fromEntries(
      Object.entries(peers).map(([peer, bytes]) => [peer, rounded(median('headgate') / bytes)]),
    ),
    details: {
      about:
        'resident memory of each connection, IPv4, 1 million; rates a second of processor time; batches of 64 frames in us',
      kernel: `nf_conntrack: the record alone, without index and extensions, as ${
        kernel === undefined ? 'documented' : '/proc/slabinfo says'
      }; its rates are not measured`,
      ...details,
      spread: Object.fromEntries(Object.entries(runs).map(([name, figures]) => [name, spreads(figures)])),
    },
    runs,
  };
}
