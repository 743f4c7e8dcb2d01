// stats: the engine's counters: connections, drops by reason, frames by workload.
import { type Command } from 'commander';
import type { StatsResult } from '../../control/api.js';
import { showBanner } from '../banner.js';
import { ApiClient } from '../client.js';
import { examples, runDirOption } from '../options.js';
import { out, outputOption, printData, quantity, renderTable, type Column, type Format } from '../output.js';

interface StatsOptions {
  runDir: string;
  output: Format;
}

export function registerStats(program: Command): void {
  examples(
    program
      .command('stats')
      .description("show the engine's counters: connections, drops by reason, frames by workload")
      .addOption(outputOption())
      .addOption(runDirOption())
      .action(stats),
    [
      ['headgate stats', 'what was dropped and why'],
      ['headgate stats -o json', 'all counters, those at zero too'],
    ],
  );
}

type Drop = StatsResult['drops'][number];
type Frames = StatsResult['workloads'][number];

async function stats({ runDir, output }: StatsOptions): Promise<void> {
  const result = await new ApiClient(runDir).get<StatsResult>('/v1/stats');
  if (output === 'json' || output === 'yaml') {
    printData(output, result);
    return;
  }
  const wide = output === 'wide';
  const drops = result.drops.filter(({ packets }) => wide || packets > 0);
  out(
    `connections ${result.connections} of ${result.connectionsLimit}, policy generation ${result.generation}\n\n`,
  );
  if (drops.length === 0) out('nothing was dropped\n');
  else out(renderTable(drops, DROP_COLUMNS, width()));
  if (result.workloads.length > 0) out(`\n${renderTable(result.workloads, WORKLOAD_COLUMNS, width())}`);
  showBanner();
}

function width(): number | undefined {
  return process.stdout.isTTY ? process.stdout.columns : undefined;
}

const DROP_COLUMNS: Column<Drop>[] = [
  { title: 'DROPS', value: ({ packets }) => packets, align: 'right' },
  { title: 'DIR', value: ({ direction }) => direction },
  { title: 'REASON', value: ({ reason }) => reason },
  { title: 'WHAT IT MEANS', value: ({ text }) => text, shrink: true },
];

const WORKLOAD_COLUMNS: Column<Frames>[] = [
  { title: 'WORKLOAD', value: ({ workload }) => workload, shrink: true },
  { title: 'SENT', value: ({ sentPackets }) => quantity(sentPackets), align: 'right' },
  { title: 'BYTES', value: ({ sentBytes }) => quantity(sentBytes), align: 'right' },
  { title: 'RECEIVED', value: ({ receivedPackets }) => quantity(receivedPackets), align: 'right' },
  { title: 'BYTES', value: ({ receivedBytes }) => quantity(receivedBytes), align: 'right' },
  {
    title: 'DROPPED',
    value: ({ drops }) => quantity(Object.values(drops).reduce((sum, one) => sum + one, 0)),
    align: 'right',
  },
];
