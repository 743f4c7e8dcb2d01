// The packet path alone: memory ports, established flows, no kernel. Millions of frames per second for 1, 1,000
// and 1,000,000 flows, instructions per frame as callgrind counts them, and what an idle engine costs.
import { execFile } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { execIn } from '../namespaces.js';
import type { Headgate } from '../headgate.js';
import { headgate } from './headgate.js';
import type { Figures } from './measure.js';
import { rounded, spread, spreads, type Result } from './report.js';

interface PipelineReport {
  flows: number;
  frames: number;
  mpps: number;
}

const execFileAsync = promisify(execFile);
const program = (): string => resolve(process.env['HEADGATE_ROOT'] ?? '.', 'build/Release/bench_pipeline');

export async function pipeline(options: { quick: boolean; say: (text: string) => void }): Promise<Result> {
  const { quick, say } = options;
  const seconds = quick ? 0.5 : 2;
  const runs: Record<string, Figures[]> = {};
  for (let run = 1; run <= (quick ? 2 : 5); run++) {
    for (const flows of [1, 1000, 1_000_000]) {
      const report = await measure(flows, seconds);
      (runs[`flows-${flows}`] ??= []).push({ value: report.mpps });
      say(`run ${run}, ${flows} flows: ${rounded(report.mpps)} Mpps`);
    }
  }
  const instructions = await instructionsPerFrame();
  say(`${rounded(instructions)} instructions per frame`);
  const idle = await idleShare(quick ? 3 : 10);
  say(`an idle engine takes ${rounded(idle)} % of a core`);
  const median = (name: string) => rounded(spread((runs[name] ?? []).map(({ value }) => value)).median);
  return {
    name: 'pipeline',
    value: median('flows-1000'),
    unit: 'Mpps',
    better: 'higher',
    peers: {},
    ratios: {},
    details: {
      about: 'established flows over memory ports, one worker; value: 1,000 flows',
      mpps: { '1': median('flows-1'), '1000': median('flows-1000'), '1000000': median('flows-1000000') },
      instructionsPerFrame: rounded(instructions),
      idlePercent: rounded(idle),
      spread: Object.fromEntries(Object.entries(runs).map(([name, figures]) => [name, spreads(figures)])),
    },
    runs,
  };
}

async function measure(flows: number, seconds: number): Promise<PipelineReport> {
  const text = await execIn(undefined, [program(), String(flows), String(seconds)], { timeoutMs: 300_000 });
  return JSON.parse(text) as PipelineReport;
}

/** What callgrind counts in the steady state, while a live trace by the filter is on, if one is given; the program switches it on and off around what is the pipeline's own. */
export async function instructionsPerFrame(traceFilter?: string): Promise<number> {
  const callgrind = [
    'valgrind',
    '--tool=callgrind',
    '--collect-atstart=no',
    '--callgrind-out-file=/dev/null',
  ];
  const filter = traceFilter === undefined ? [] : [traceFilter];
  const argv = [...callgrind, program(), '1000', '100000', 'count', ...filter];
  const { stdout, stderr } = await execFileAsync('env', argv, { encoding: 'utf8', timeout: 300_000 });
  const { frames } = JSON.parse(stdout) as PipelineReport;
  const found = /Collected\s*:\s*([\d,]+)/.exec(stderr);
  if (found?.[1] === undefined) throw new Error(`callgrind said no count:\n${stderr}`);
  return Number(found[1].replaceAll(',', '')) / frames;
}

/** Processor time of an engine with two workloads and nothing to do, in percent of a core. */
async function idleShare(seconds: number): Promise<number> {
  const join = headgate(1000);
  await join.setUp();
  try {
    return await processorShare(join.running(), seconds);
  } finally {
    await join.tearDown();
  }
}

/** Processor time that the engine process takes over some seconds, in percent of a core. */
async function processorShare(running: Headgate, seconds: number): Promise<number> {
  const engine = engineOf(running.pid);
  await new Promise((resolve) => setTimeout(resolve, 1000)); // what starting left to do
  const before = ticks(engine);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  return (ticks(engine) - before) / seconds; // 100 ticks a second: percent
}

function engineOf(parent: number): number {
  const commands = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const found = commands.find((pid) => {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return new RegExp(`^PPid:\\s*${parent}$`, 'm').test(status) && words.includes('engine');
    } catch {
      return false;
    }
  });
  if (found === undefined) throw new Error(`no engine among the children of process ${parent}`);
  return Number(found);
}

function ticks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
