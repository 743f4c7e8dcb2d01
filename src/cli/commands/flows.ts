// flows: the connections that the engine tracks, with the verdicts that were reached for them.
import { type Command } from 'commander';
import type { FlowResult, FlowsResult } from '../../control/api.js';
import { ApiClient } from '../client.js';
import { examples, numberBetween, runDirOption } from '../options.js';
import { duration, note, outputOption, print, quantity, type Column, type Format } from '../output.js';

interface FlowsOptions {
  limit: number;
  workload?: string;
  denied?: boolean;
  runDir: string;
  output: Format;
}

export function registerFlows(program: Command): void {
  examples(
    program
      .command('flows')
      .description('list the connections that the engine tracks')
      .option('--limit <count>', 'show at most so many', numberBetween(1, 100_000), 100)
      .option('--workload <name>', 'only those judged at this workload')
      .option('--denied', 'only those that were dropped or rejected')
      .addOption(outputOption())
      .addOption(runDirOption())
      .action(flows),
    [
      ['headgate flows --workload web-1', 'what web-1 speaks to'],
      ['headgate flows --denied -o wide', 'what was refused, and by which rules'],
    ],
  );
}

async function flows({ limit, workload, denied, runDir, output }: FlowsOptions): Promise<void> {
  const query = new URLSearchParams({ limit: String(limit) });
  if (workload !== undefined) query.set('workload', workload);
  if (denied === true) query.set('denied', 'true');
  const result = await new ApiClient(runDir).get<FlowsResult>(`/v1/flows?${query.toString()}`);
  print(output, result.flows, COLUMNS, result);
  if (result.flows.length < result.total) note(`${result.flows.length} of ${result.total} connections shown`);
}

function end(address: string, port: number): string {
  if (port === 0) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function verdictOf({ verdicts }: FlowResult): string {
  return verdicts.find(({ action }) => action !== 'allow')?.action ?? 'allow';
}

const COLUMNS: Column<FlowResult>[] = [
  { title: 'PROTO', value: ({ protocol }) => protocol },
  { title: 'SOURCE', value: ({ source, sourcePort }) => end(source, sourcePort) },
  { title: 'DESTINATION', value: ({ destination, destinationPort }) => end(destination, destinationPort) },
  { title: 'STATE', value: ({ state }) => state },
  { title: 'VERDICT', value: verdictOf },
  {
    title: 'PACKETS',
    value: ({ packets: [there, back] }) => `${quantity(there)}/${quantity(back)}`,
    align: 'right',
  },
  {
    title: 'BYTES',
    value: ({ bytes: [there, back] }) => `${quantity(there)}/${quantity(back)}`,
    align: 'right',
  },
  { title: 'AGE', value: ({ age }) => duration(age), align: 'right' },
  { title: 'IDLE', value: ({ idle }) => duration(idle), align: 'right' },
  { title: 'EXPIRES', value: ({ expires }) => duration(expires), align: 'right', wide: true },
  { title: 'TRACKER', value: ({ tracker }) => tracker, wide: true },
  {
    title: 'DECIDED BY',
    value: ({ verdicts }) =>
      verdicts
        .map(({ workload, direction, rule }) => `${workload} ${direction} ${rule ?? 'default'}`)
        .join('; '),
    wide: true,
  },
];
