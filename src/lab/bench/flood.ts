// What a flood of SYNs from one workload leaves another: its bulk TCP, and how many of its new connections succeed.
//
// The flood goes through the same packet thread and the same processors as what is measured, so some of it has to be
// felt. What is fair is told by as many frames of the same length that are of one UDP flow: what that workload may send
// anyway. Each run measures TCP alone, beside the plain frames and beside the flood, one after the other, and gives a
// ratio of its own: what else the machine does changes slower than that. The ratio is the median of theirs.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { ApiClient } from '../../cli/client.js';
import type { DocumentResult, StatsResult } from '../../control/api.js';
import { LIMIT_REASONS } from '../../shared/limit-reasons.js';
import { spawnIn } from '../namespaces.js';
import { FLOODER, headgateFlooded } from './headgate.js';
import type { Ends } from './join.js';
import { cps, tcp, tool, type Figures } from './measure.js';
import { rounded, spread, spreads, type Result } from './report.js';

const RATE = 200_000;
/** Of the server's segment, but nobody's: nothing answers, and nothing resets what was begun. */
const NOBODY = '10.1.0.77';
const TRAFFIC = { alone: undefined, 'beside-plain': ['--plain'], headgate: [] } as const;
type Beside = keyof typeof TRAFFIC;

export async function flood({
  quick,
  say,
}: {
  quick: boolean;
  say: (text: string) => void;
}): Promise<Result> {
  const seconds = quick ? 1 : 2;
  const join = headgateFlooded();
  const runs: Record<string, Figures[]> = {};
  const ends = await join.setUp();
  try {
    const control = new ApiClient(join.running().runDir);
    for (let run = 1; run <= (quick ? 3 : 11); run++) {
      const turns = Object.keys(TRAFFIC) as Beside[];
      for (const beside of run % 2 ? turns : turns.reverse()) {
        const figures = await measure(control, ends, beside, seconds);
        (runs[beside] ??= []).push(figures);
        say(
          `run ${run}, ${beside}: ${rounded(figures.value)} Gbit/s, ${Math.round(figures['cps'] ?? 0)} connections/s`,
        );
      }
    }
  } finally {
    await join.tearDown();
  }
  return result(runs);
}

async function measure(control: ApiClient, ends: Ends, beside: Beside, seconds: number): Promise<Figures> {
  const [server] = await control.get<DocumentResult[]>('/v1/documents/Workload/server');
  const options = TRAFFIC[beside];
  const before = await flooderOf(control);
  const sender = options && start(server?.status?.mac ?? '', options);
  const began = performance.now();
  try {
    const bulk = await tcp.run(ends, seconds);
    const connections = await cps.run(ends, 1);
    if (sender !== undefined && sender.exitCode !== null) throw new Error('the flood ended early');
    const after = await flooderOf(control);
    const elapsed = (performance.now() - began) / 1000;
    const tried = connections['tried'] ?? 0;
    return {
      value: bulk.value,
      cps: connections.value,
      success: 1 - (connections['failed'] ?? 0) / tried,
      flooded: (after.sentPackets - before.sentPackets) / elapsed,
      refused: (refusedOf(after) - refusedOf(before)) / elapsed,
    };
  } finally {
    await end(sender);
  }
}

function start(mac: string, options: readonly string[]): ChildProcess {
  const argv = [tool('syn_flood'), '--from', FLOODER.address, '--to', NOBODY, '--to-mac', mac];
  return spawnIn(FLOODER.netns, [...argv, '--rate', String(RATE), '--seconds', '600', ...options], 'ignore');
}

async function end(sender: ChildProcess | undefined): Promise<void> {
  if (sender === undefined || sender.exitCode !== null) return;
  const ended = once(sender, 'close');
  sender.kill('SIGKILL');
  await ended;
}

type Frames = StatsResult['workloads'][number];

async function flooderOf(control: ApiClient): Promise<Frames> {
  const { workloads } = await control.get<StatsResult>('/v1/stats');
  const found = workloads.find(({ workload }) => workload === FLOODER.name);
  if (found === undefined) throw new Error(`no statistics of ${FLOODER.name}`);
  return found;
}

const refusedOf = ({ drops }: Frames): number =>
  LIMIT_REASONS.reduce((sum, reason) => sum + (drops[reason] ?? 0), 0);

function result(runs: Record<string, Figures[]>): Result {
  const median = (name: Beside, figure = 'value') =>
    spread((runs[name] ?? []).map((figures) => figures[figure] ?? NaN)).median;
  /** The median of what each run says. */
  const over = (name: Beside, figure = 'value') => {
    const others = runs[name] ?? [];
    const ratios = (runs['headgate'] ?? []).map(
      (one, i) => (one[figure] ?? NaN) / (others[i]?.[figure] ?? NaN),
    );
    return rounded(spread(ratios).median);
  };
  const peers = ['alone', 'beside-plain'] as const;
  return {
    name: 'flood',
    value: rounded(median('headgate')),
    unit: 'Gbit/s',
    better: 'higher',
    peers: Object.fromEntries(peers.map((name) => [name, rounded(median(name))])),
    ratios: Object.fromEntries(peers.map((name) => [name, over(name)])),
    details: {
      about: `one workload's bulk TCP while another sends ${RATE} SYNs a second, as far as it gets; beside-plain: as many plain frames`,
      newConnections: {
        success: Object.fromEntries(
          (Object.keys(runs) as Beside[]).map((name) => [name, rounded(median(name, 'success'))]),
        ),
        overPlain: over('beside-plain', 'cps'),
      },
      spread: Object.fromEntries(Object.entries(runs).map(([name, figures]) => [name, spreads(figures)])),
    },
    runs,
  };
}
