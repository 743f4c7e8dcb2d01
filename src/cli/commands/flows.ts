// flows: the connections that the engine tracks, with the verdicts that were reached for them.
import { type Command } from 'commander';
import type { FlowsResult } from '../../control/api.js';
import { ApiClient } from '../client.js';
import { FLOW_COLUMNS } from '../flow-columns.js';
import { examples, numberBetween, runDirOption } from '../options.js';
import { note, outputOption, paint, print, renderTable } from '../output.js';
import { watch, watchOptions, type Size, type WatchOptions } from '../watch.js';

interface FlowsOptions extends WatchOptions {
  watch?: boolean;
  limit: number;
  workload?: string;
  denied?: boolean;
  runDir: string;
}

export function registerFlows(program: Command): void {
  examples(
    watchOptions(
      program
        .command('flows')
        .description('list the connections that the engine tracks')
        .option('-w, --watch', 'again and again, in full screen on a terminal'),
    )
      .option('--limit <count>', 'show at most so many', numberBetween(1, 100_000), 100)
      .option('--workload <name>', 'only those judged at this workload')
      .option('--denied', 'only those that were dropped or rejected')
      .addOption(outputOption())
      .addOption(runDirOption())
      .action(flows),
    [
      ['headgate flows --workload web-1', 'what web-1 speaks to'],
      ['headgate flows --watch --denied', 'what is being refused, every two seconds'],
      ['headgate flows --denied -o wide', 'what was refused, and by which rules'],
    ],
  );
}

async function flows(options: FlowsOptions): Promise<void> {
  const { limit, workload, denied, runDir, output } = options;
  const query = new URLSearchParams({ limit: String(limit) });
  if (workload !== undefined) query.set('workload', workload);
  if (denied === true) query.set('denied', 'true');
  const client = new ApiClient(runDir);
  const take = () => client.get<FlowsResult>(`/v1/flows?${query.toString()}`);
  if (options.watch === true || options.count !== undefined) {
    const lines = (result: FlowsResult, size: Size, fault?: string) =>
      watchLines(result, size, fault, output === 'wide');
    await watch({ take, lines }, options);
    return;
  }
  const result = await take();
  print(output, result.flows, FLOW_COLUMNS, result);
  if (result.flows.length < result.total) note(`${result.flows.length} of ${result.total} connections shown`);
}

/** Lines of a frame that are no connections. */
const FRAME_ROWS = 3;

function watchLines(
  { flows: found, total }: FlowsResult,
  { columns, rows = Infinity }: Size,
  fault: string | undefined,
  wide: boolean,
): string[] {
  const shown = found.slice(0, Math.max(0, rows - FRAME_ROWS));
  const clock = new Date().toISOString().slice(11, 19);
  const head = fault === undefined ? `${shown.length} of ${total} connections shown` : paint('red', fault);
  const table = renderTable(
    shown,
    FLOW_COLUMNS.filter((column) => wide || !column.wide),
    columns,
  );
  return [`${clock} UTC  ${head}`, '', ...table.trimEnd().split('\n')];
}
